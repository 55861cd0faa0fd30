{% macro grid_cell_corners(epsg, col, row) -%}
    {%- set size = grid_cell_size() -%}
    transform(
        array(struct(0D as x, 0D as y), struct(1D as x, 0D as y), struct(1D as x, 1D as y), struct(0D as x, 1D as y)),
        corner -> {{ utm_degrees(
            '(' ~ col ~ ' + corner.x) * ' ~ size, '(' ~ row ~ ' + corner.y) * ' ~ size, epsg
        ) }}
    )
{%- endmacro %}
