{# Version of the grid's definition; on every row that holds a cell_id. Raise it when a cell_id changes meaning. #}
{% macro grid_version() -%} 'utm-2560-v1' {%- endmacro %}
