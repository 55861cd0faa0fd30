{% macro wants_int8() %}
    {%- set wanted = setting('embed_int8') -%}
    {%- if wanted is not boolean -%}
        {{ exceptions.raise_compiler_error("variable embed_int8 is '" ~ wanted ~ "'; write true or false") }}
    {%- endif -%}
    {{ return(wanted) }}
{% endmacro %}


{% macro embedding_scale(embedding) -%}
    cast(array_max(transform({{ embedding }}, number -> abs(double(number)))) / 127 as float)
{%- endmacro %}


{# Halves are rounded to the even number. The bounds matter if the scale is so small that float rounds it. #}
{% macro embedding_int8(embedding, scale) -%}
    transform(
        if({{ scale }} is null, null, {{ embedding }}),
        number -> cast(
            if({{ scale }} = 0, 0, greatest(-127, least(127, rint(double(number) / {{ scale }})))) as tinyint
        )
    )
{%- endmacro %}


{% macro dequantised(embedding_int8, scale) -%}
    transform({{ embedding_int8 }}, number -> float(number * {{ scale }}))
{%- endmacro %}
