{# concat_ws would skip a part that is null. #}
{% macro grid_cell_id(epsg, col, row) -%}
    concat({{ epsg }}, '_', {{ col }}, '_', {{ row }})
{%- endmacro %}
