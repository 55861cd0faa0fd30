{# The plugin compares the settings with those of the lake; no query is sent here. #}
{% macro limit(name) %}
    {%- set refusal = fromjson(env_var('CHIPLAKE_LOST_LIMITS', '{}')).get(name) -%}
    {%- if refusal and plan_is_made() -%}
        {{ exceptions.raise_compiler_error(refusal) }}
    {%- endif -%}
    {{ return(setting(name)) }}
{% endmacro %}
