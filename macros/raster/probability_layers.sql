{% macro probability_layers() %}
    {{ return(fromjson(env_var('CHIPLAKE_ALL_PROBABILITIES'))) }}
{% endmacro %}
