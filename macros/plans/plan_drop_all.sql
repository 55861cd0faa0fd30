{% macro plan_drop_all() %}
    {% for name in plan_names() %}
        {% do plan_drop(name) %}
    {% endfor %}
{% endmacro %}
