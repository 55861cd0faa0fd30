{# With the time at which dbt was started, by which a later run knows branches of dead runs. #}
{% macro run_branch() %}
    {{ return('run_' ~ run_started_at.strftime('%Y%m%d%H%M%S') ~ '_' ~ invocation_id[:8]) }}
{% endmacro %}
