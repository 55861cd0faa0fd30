{% macro cosine_distance(first, second) -%}
    1 - {{ dot_product(first, second) }}
        / nullif(sqrt({{ dot_product(first, first) }} * {{ dot_product(second, second) }}), 0)
{%- endmacro %}


{% macro dot_product(first, second) -%}
    aggregate(
        zip_with({{ first }}, {{ second }}, (a, b) -> double(a) * double(b)), 0D, (total, product) -> total + product
    )
{%- endmacro %}
