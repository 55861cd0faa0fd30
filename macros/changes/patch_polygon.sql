{#
    Neighbouring patches compute their common corners from the same numbers, so the corners are equal to the last bit,
    and a union of patches has no slivers.
#}
{% macro patch_polygon(epsg, patch_x, patch_y) -%}
    {%- set size = grid_cell_size() | int // patches_per_side() | int -%}
    {%- set corners -%}
        transform(
            array(struct(0 as x, 0 as y), struct(1 as x, 0 as y), struct(1 as x, 1 as y), struct(0 as x, 1 as y)),
            corner -> {{ utm_degrees(
                '(' ~ patch_x ~ ' + corner.x) * ' ~ size, '(' ~ patch_y ~ ' + corner.y) * ' ~ size, epsg
            ) }}
        )
    {%- endset -%}
    {{ bind('patch_corners', corners, grid_cell_polygon('patch_corners')) }}
{%- endmacro %}
