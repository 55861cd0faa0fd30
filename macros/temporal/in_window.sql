{% macro in_window(relation) %}
    {%- set start_date = var('start_date', none) -%}
    {%- set end_date = var('end_date', none) -%}
    {%- set bbox = setting('bbox') -%}
    {% if start_date %}and {{ relation }}.acquired_at >= {{ day(start_date) }}{% endif %}
    {% if end_date %}and {{ relation }}.acquired_at < {{ day(end_date) }} + interval 1 day{% endif %}
    {% if bbox %}
    {#- A box whose west lies east of its east crosses the antimeridian. -#}
    and (
        {{ relation }}.longitude >= {{ bbox[0] | float }}
        {{ 'and' if bbox[0] | float <= bbox[2] | float else 'or' }} {{ relation }}.longitude <= {{ bbox[2] | float }}
    )
    and {{ relation }}.latitude between {{ bbox[1] | float }} and {{ bbox[3] | float }}
    {% endif %}
{% endmacro %}


{% macro day(text) %}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', text | string) -%}
        {{ exceptions.raise_compiler_error("'" ~ text ~ "' is not a date: write YYYY-MM-DD") }}
    {%- endif -%}
    timestamp '{{ text }} 00:00:00'
{%- endmacro %}
