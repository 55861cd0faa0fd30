{% macro wants_int8() %}
    {%- set wanted = setting('embed_int8') -%}
    {%- if wanted is not boolean -%}
        {{ exceptions.raise_compiler_error("variable embed_int8 is '" ~ wanted ~ "'; write true or false") }}
    {%- endif -%}
    {{ return(wanted) }}
{% endmacro %}
