{% macro plan_names() %}
    {%- set default = ['pending_inputs'] if config.get('inputs') else [] -%}
    {{ return(config.get('plans') or default) }}
{% endmacro %}
