{# Also at the start of a run, as one that failed in the same session keeps its views. #}
{% macro plan_drop_all() %}
    {% for name in plan_names() %}
        {% do run_query('drop view if exists ' ~ plan_view(name)) %}
    {% endfor %}
{% endmacro %}
