{# Raise it when a cell_id changes meaning. #}
{% macro grid_version() -%} 'utm-2560-v1' {%- endmacro %}
