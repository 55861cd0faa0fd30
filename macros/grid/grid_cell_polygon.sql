{#
    Polygon of a grid cell in EPSG:4326 (Sedona geometry, longitude first).
    Arguments: SQL expressions, int: EPSG code of the UTM zone, column, row.
#}
{% macro grid_cell_polygon(epsg, col, row) -%}
    st_transform(
        st_polygonfromenvelope(
            double({{ col }} * {{ grid_cell_size() }}), double({{ row }} * {{ grid_cell_size() }}),
            double(({{ col }} + 1) * {{ grid_cell_size() }}), double(({{ row }} + 1) * {{ grid_cell_size() }})
        ),
        concat('EPSG:', {{ epsg }}), 'EPSG:4326'
    )
{%- endmacro %}
