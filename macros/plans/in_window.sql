{% macro in_window(relation, first_at='acquired_at', last_at='acquired_at') %}
    {%- set start_date = var('start_date', none) -%}
    {%- set end_date = var('end_date', none) -%}
    {% if start_date %}and {{ relation }}.{{ last_at }} >= {{ day_literal(start_date) }}{% endif %}
    {% if end_date %}and {{ relation }}.{{ first_at }} < {{ day_literal(end_date) }} + interval 1 day{% endif %}
    {{ in_box(relation, limit('bbox')) }}
{% endmacro %}
