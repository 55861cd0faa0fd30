{% macro row_key_columns(key) %}
    {{ return([key] if key is string else key) }}
{% endmacro %}
