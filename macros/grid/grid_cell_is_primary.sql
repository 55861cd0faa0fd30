{#
    A zone's extent consists of rectangles in degrees that are wider than a cell. So the cell's box reaches into the
    extent exactly where one of the box's corners does. The box is 1e-9 degrees (0.1 mm) smaller on each side, because
    its far edges belong to the next cell.
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
