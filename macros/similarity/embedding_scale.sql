{% macro embedding_scale(embedding) -%}
    cast(array_max(transform({{ embedding }}, number -> abs(double(number)))) / 127 as float)
{%- endmacro %}
