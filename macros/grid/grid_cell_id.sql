{# Id of a grid cell: '{epsg}_{col}_{row}'. Arguments: SQL expressions, int. #}
{% macro grid_cell_id(epsg, col, row) -%}
    concat_ws('_', {{ epsg }}, {{ col }}, {{ row }})
{%- endmacro %}
