{# Also called at the start of a run, because a failed run in the same session leaves its views. #}
{% macro plan_drop_all() %}
    {% for name in plan_names() %}
        {% do run_query('drop view if exists ' ~ plan_view(name)) %}
    {% endfor %}
{% endmacro %}
