{% macro plan_is_made() %}
    {{ return(execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model') }}
{% endmacro %}
