{# Also called at the start of a run, because a failed run leaves its views. #}
{% macro plan_drop_all() %}
    {% for name in plan_names() %}
        {% do plan_drop(name) %}
    {% endfor %}
{% endmacro %}
