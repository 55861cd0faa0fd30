{# The centre in the cell's own zone. At +-180 degrees the centre of its bounding box lies elsewhere. #}
{% macro grid_cell_centre(epsg, col, row) -%}
    {%- set place = utm_degrees(
        '(' ~ col ~ ' + 0.5D) * ' ~ grid_cell_size(), '(' ~ row ~ ' + 0.5D) * ' ~ grid_cell_size(), epsg
    ) -%}
    {{ bind('centre', place, 'st_point(' ~ normalised_longitude('centre.longitude') ~ ', centre.latitude)') }}
{%- endmacro %}
