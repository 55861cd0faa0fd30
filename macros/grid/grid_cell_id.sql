{% macro grid_cell_id(epsg, col, row) -%}
    concat_ws('_', {{ epsg }}, {{ col }}, {{ row }})
{%- endmacro %}
