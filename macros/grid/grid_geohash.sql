{% macro grid_geohash(point) -%}
    st_geohash({{ point }}, 8)
{%- endmacro %}
