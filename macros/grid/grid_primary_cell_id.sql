{# 180 and -180 degrees give the same cell. #}
{% macro grid_primary_cell_id(longitude, latitude) -%}
    {%- set place -%}
        struct(
            {{ utm_epsg(longitude, latitude) }} as epsg,
            {{ normalised_longitude(longitude) }} as longitude,
            double({{ latitude }}) as latitude
        )
    {%- endset -%}
    {%- set cell_id = grid_cell_id(
        'place.epsg',
        'floor(utm.easting / ' ~ grid_cell_size() ~ ')',
        'floor(utm.northing / ' ~ grid_cell_size() ~ ')',
    ) -%}
    {{ bind('place', place, bind('utm', utm_coordinates('place.longitude', 'place.latitude', 'place.epsg'), cell_id)) }}
{%- endmacro %}
