{#- dot_product of an embedding with itself would build pairs of equal numbers. -#}
{% macro squared_norm(embedding) -%}
    aggregate({{ embedding }}, 0D, (total, value) -> total + double(value) * double(value))
{%- endmacro %}
