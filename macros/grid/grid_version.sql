{# Raise it when a cell_id changes meaning, or a cell its geohash (docs/grid.md). #}
{% macro grid_version() -%} 'utm-2560-v2' {%- endmacro %}
