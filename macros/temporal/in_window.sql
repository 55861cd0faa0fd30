{% macro in_window(relation) %}
    {%- set start_date = var('start_date', none) -%}
    {%- set end_date = var('end_date', none) -%}
    {% if start_date %}and {{ relation }}.acquired_at >= {{ day(start_date) }}{% endif %}
    {% if end_date %}and {{ relation }}.acquired_at < {{ day(end_date) }} + interval 1 day{% endif %}
    {{ in_box(relation, setting('bbox')) }}
{% endmacro %}


{% macro day(text) %}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', text | string) -%}
        {{ exceptions.raise_compiler_error("'" ~ text ~ "' is not a date: write YYYY-MM-DD") }}
    {%- endif -%}
    timestamp '{{ text }} 00:00:00'
{%- endmacro %}
