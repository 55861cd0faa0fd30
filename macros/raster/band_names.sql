{% macro band_names() %}
    {{ return(fromjson(env_var('CHIPLAKE_ALL_BANDS'))) }}
{% endmacro %}
