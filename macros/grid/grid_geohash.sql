{# Level-8 geohash of a point (Sedona geometry). Its first four letters partition the tables of chips. #}
{% macro grid_geohash(point) -%}
    st_geohash({{ point }}, 8)
{%- endmacro %}
