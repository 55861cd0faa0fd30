{% macro row_exists(select) %}
    {{ return(run_query('select 1 from (' ~ select ~ ') limit 1').rows | length > 0) }}
{% endmacro %}
