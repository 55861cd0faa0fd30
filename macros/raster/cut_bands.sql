{% macro cut_bands() %}
    {%- set wanted = setting('bands') -%}
    {%- for name in wanted if name not in band_names() -%}
        {{ exceptions.raise_compiler_error("unknown band '" ~ name ~ "'; choose from " ~ band_names() | join(', ')) }}
    {%- endfor -%}
    {%- set known = [] -%}
    {%- for name in band_names() if name in wanted -%}
        {%- do known.append(name) -%}
    {%- endfor -%}
    {{ return(known) }}
{% endmacro %}
