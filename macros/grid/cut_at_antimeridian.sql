{% macro cut_at_antimeridian(polygon) -%}
    st_union(
        st_intersection({{ polygon }}, st_polygonfromenvelope(-180D, -90D, 180D, 90D)),
        st_union(
            st_translate(st_intersection({{ polygon }}, st_polygonfromenvelope(180D, -90D, 540D, 90D)), -360D, 0D),
            st_translate(st_intersection({{ polygon }}, st_polygonfromenvelope(-540D, -90D, -180D, 90D)), 360D, 0D)
        )
    )
{%- endmacro %}
