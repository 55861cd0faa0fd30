{% macro list_views(schema) %}
    {{ return(run_query('show views in ' ~ schema)) }}
{% endmacro %}
