{% macro utm_false_northing(epsg) -%}
    if({{ epsg }} >= 32700, 10000000D, 0D)
{%- endmacro %}
