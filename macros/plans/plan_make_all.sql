{# Each plan is computed once, in the order of the model's `plans`. #}
{% macro plan_make_all() %}
    {% do plan_drop_all() %}
    {% for name in plan_names() %}
        {% do plan_make(name, context[name](config.get('inputs'))) %}
    {% endfor %}
    {% if config.get('days_of_plan') %}
        {% do plan_declare_days(config.get('days_of_plan')) %}
    {% endif %}
{% endmacro %}
