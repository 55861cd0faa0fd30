{% macro band_columns(prefix='') -%}
    {%- for band in band_names() -%}
        {{ prefix }}{{ band }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{% macro band_names() %}
    {{ return(fromjson(env_var('CHIPLAKE_ALL_BANDS'))) }}
{% endmacro %}
