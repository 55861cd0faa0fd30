{% macro valid_scl_classes() %}
    {{ return(setting('valid_scl_classes') | map('int') | unique | sort | list) }}
{% endmacro %}
