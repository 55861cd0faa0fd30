{% macro band_columns(prefix='') -%}
    {%- for band in band_names() -%}
        {{ prefix }}{{ band }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
