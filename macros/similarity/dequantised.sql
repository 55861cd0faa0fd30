{% macro dequantised(embedding_int8, scale) -%}
    transform({{ embedding_int8 }}, number -> float(number * {{ scale }}))
{%- endmacro %}
