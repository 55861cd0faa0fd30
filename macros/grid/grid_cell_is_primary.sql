{#
    A zone's extent is made of rectangles in degrees that are wider than a cell, so the cell's box reaches into it
    where one of the box's corners does. The box is made smaller by 1e-9 degrees (0.1 mm): its far edges are the next
    cell's.
#}
{% macro grid_cell_is_primary(epsg, corners) -%}
    {%- set longitudes = 'transform(' ~ corners ~ ', corner -> corner.longitude)' -%}
    {%- set latitudes = 'transform(' ~ corners ~ ', corner -> corner.latitude)' -%}
    {%- set box -%}
        struct(
            {{ epsg }} as epsg,
            array(array_min({{ longitudes }}) + 1e-9D, array_max({{ longitudes }}) - 1e-9D) as longitudes,
            array(array_min({{ latitudes }}) + 1e-9D, array_max({{ latitudes }}) - 1e-9D) as latitudes
        )
    {%- endset -%}
    {%- set owns_a_corner -%}
        exists(
            transform(box.longitudes, longitude -> {{ normalised_longitude('longitude') }}),
            longitude -> exists(
                box.latitudes, latitude -> {{ utm_epsg('longitude', 'latitude') }} <=> box.epsg
            )
        )
    {%- endset -%}
    {{ bind('box', box, owns_a_corner) }}
{%- endmacro %}
