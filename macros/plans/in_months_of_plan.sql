{% macro in_months_of_plan(name, month_start_at) %}
    {%- if plan_is_made() -%}
        and {{ month_start_at }}
        between date_trunc('month', {{ plan_view(name) }}__first_at) and {{ plan_view(name) }}__last_at
    {%- endif -%}
{% endmacro %}
