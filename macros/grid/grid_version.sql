{# Raise the version when a cell_id or the geohash of a cell changes its meaning (docs/grid.md). #}
{% macro grid_version() -%} 'utm-2560-v2' {%- endmacro %}
