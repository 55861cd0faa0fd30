{# Halves are rounded to even. The bounds matter if the scale is so small that float rounds it. #}
{% macro embedding_int8(embedding, scale) -%}
    transform(
        if({{ scale }} is null, null, {{ embedding }}),
        number -> cast(
            if({{ scale }} = 0, 0, greatest(-127, least(127, rint(double(number) / {{ scale }})))) as tinyint
        )
    )
{%- endmacro %}
