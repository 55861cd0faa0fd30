{% macro cosine_distance(first, second) -%}
    1 - {{ dot_product(first, second) }}
        / nullif(sqrt({{ squared_norm(first) }} * {{ squared_norm(second) }}), 0)
{%- endmacro %}


{% macro dot_product(first, second) -%}
    aggregate(
        zip_with({{ first }}, {{ second }}, (a, b) -> double(a) * double(b)), 0D, (total, product) -> total + product
    )
{%- endmacro %}


{#- Not dot_product of an embedding with itself, which would build pairs of equal numbers. -#}
{% macro squared_norm(embedding) -%}
    aggregate({{ embedding }}, 0D, (total, value) -> total + double(value) * double(value))
{%- endmacro %}
