{% macro utm_meridian(epsg) -%}
    ({{ epsg }} % 100 * 6 - 183)
{%- endmacro %}
