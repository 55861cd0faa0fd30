{% macro in_days_of_plan(name, acquired_at) %}
    {%- if plan_is_made() -%}
        and {{ acquired_at }} between {{ plan_view(name) }}__first_at and {{ plan_view(name) }}__last_at
    {%- endif -%}
{% endmacro %}
