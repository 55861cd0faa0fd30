{% macro in_window(relation) %}
    {%- set start_date = var('start_date', none) -%}
    {%- set end_date = var('end_date', none) -%}
    {% if start_date %}and {{ relation }}.acquired_at >= {{ day_literal(start_date) }}{% endif %}
    {% if end_date %}and {{ relation }}.acquired_at < {{ day_literal(end_date) }} + interval 1 day{% endif %}
    {{ in_box(relation, limit('bbox')) }}
{% endmacro %}
