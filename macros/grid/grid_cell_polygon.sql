{% macro grid_cell_polygon(epsg, col, row) -%}
    st_transform(
        st_polygonfromenvelope(
            double({{ col }} * {{ grid_cell_size() }}), double({{ row }} * {{ grid_cell_size() }}),
            double(({{ col }} + 1) * {{ grid_cell_size() }}), double(({{ row }} + 1) * {{ grid_cell_size() }})
        ),
        concat('EPSG:', {{ epsg }}), 'EPSG:4326'
    )
{%- endmacro %}
