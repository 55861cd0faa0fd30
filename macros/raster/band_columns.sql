{# The band columns of the tables of chips, in the order of chiplake/bands.py, comma separated. #}
{% macro band_columns(prefix='') -%}
    {%- for band in band_names() -%}
        {{ prefix }}{{ band }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{# Names of all bands that a table of chips has a column for. Setting `bands` says which of them are cut. #}
{% macro band_names() %}
    {{ return(fromjson(env_var('CHIPLAKE_ALL_BANDS'))) }}
{% endmacro %}
