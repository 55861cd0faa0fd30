{% macro dot_product(first, second) -%}
    aggregate(
        zip_with({{ first }}, {{ second }}, (a, b) -> double(a) * double(b)), 0D, (total, product) -> total + product
    )
{%- endmacro %}
