{% macro plan_drop(name) %}
    {% do run_query('drop view ' ~ plan_view(name)) %}
{% endmacro %}
