{# Not concat_ws, which would make an id of what is left when a part is null. #}
{% macro grid_cell_id(epsg, col, row) -%}
    concat({{ epsg }}, '_', {{ col }}, '_', {{ row }})
{%- endmacro %}
