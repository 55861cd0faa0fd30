{% macro normalised_longitude(longitude) -%}
    ({{ longitude }} - case when {{ longitude }} >= 180 then 360 when {{ longitude }} < -180 then -360 else 0 end)
{%- endmacro %}
