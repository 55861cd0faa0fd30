{# A dbt variable whose default is the setting of the same name (chiplake/settings.py), parsed from JSON. #}
{% macro setting(name) %}
    {%- set given = var(name, none) -%}
    {%- if given is not none -%}
        {{ return(given) }}
    {%- endif -%}
    {%- set text = env_var('CHIPLAKE_' ~ name | upper) -%}
    {{ return(fromjson(text, text)) }}
{% endmacro %}
