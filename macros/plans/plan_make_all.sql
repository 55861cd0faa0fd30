{#
    Each plan is computed once, in the order of the model's `plans`, and its rows are cached on the executors' disks. No
    table of the lake is written, so a killed run leaves nothing behind.
#}
{% macro plan_make_all() %}
    {% do plan_drop_all() %}
    {% for name in plan_names() %}
        {% set sql = context[name](config.get('inputs')) %}
        {% do run_query('cache table ' ~ plan_view(name) ~ " options ('storageLevel' 'DISK_ONLY') as " ~ sql) %}
    {% endfor %}
    {% if config.get('days_of_plan') %}
        {% do plan_declare_days(config.get('days_of_plan')) %}
    {% endif %}
{% endmacro %}
