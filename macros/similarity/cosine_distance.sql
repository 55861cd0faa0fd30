{#
    Cosine distance of two embeddings, 0 (alike) to 2 (opposite); null if one is null or all zero.
    Arguments: SQL expressions, array<float> of one length.
#}
{% macro cosine_distance(first, second) -%}
    1 - {{ dot_product(first, second) }}
        / nullif(sqrt({{ dot_product(first, first) }} * {{ dot_product(second, second) }}), 0)
{%- endmacro %}


{# Inner product of two embeddings, double. Arguments: SQL expressions, array<float> of one length. #}
{% macro dot_product(first, second) -%}
    aggregate(
        zip_with({{ first }}, {{ second }}, (a, b) -> double(a) * double(b)), 0D, (total, product) -> total + product
    )
{%- endmacro %}
