{% macro cosine_distance(first, second) -%}
    1 - {{ dot_product(first, second) }}
        / nullif(sqrt({{ squared_norm(first) }} * {{ squared_norm(second) }}), 0)
{%- endmacro %}
