{#
    Each plan is worked out once, in the order of the model's `plans`, and its rows are kept on the executors' disks: no
    table of the lake is written, so a run that is killed leaves nothing behind.
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
