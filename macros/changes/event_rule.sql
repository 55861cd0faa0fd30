{% macro event_rule() -%}
    {%- set rule = {
        'method': 'patch-season-v1',
        'min_score': setting('event_min_score') | float,
        'min_area_ha': setting('event_min_area_ha') | float,
    } -%}
    '{{ tojson(rule) }}'
{%- endmacro %}
