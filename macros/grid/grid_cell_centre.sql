{# The centre in the cell's own zone, which at +-180 is not the centre of its bounding box. #}
{% macro grid_cell_centre(epsg, col, row) -%}
    st_transform(
        st_point(({{ col }} + 0.5D) * {{ grid_cell_size() }}, ({{ row }} + 0.5D) * {{ grid_cell_size() }}),
        concat('EPSG:', {{ epsg }}), 'EPSG:4326'
    )
{%- endmacro %}
