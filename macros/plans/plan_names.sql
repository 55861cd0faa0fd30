{% macro plan_names() %}
    {%- set default = ['pending_inputs'] if config.get('incremental_strategy') == 'pending_inputs' else [] -%}
    {{ return(config.get('plans') or default) }}
{% endmacro %}
