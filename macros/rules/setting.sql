{% macro setting(name) %}
    {%- set given = var(name, none) -%}
    {%- if given is not none -%}
        {{ return(given) }}
    {%- endif -%}
    {%- set text = env_var('CHIPLAKE_' ~ name | upper) -%}
    {{ return(fromjson(text, text)) }}
{% endmacro %}
