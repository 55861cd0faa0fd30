{% macro baseline_first_at(month_start_at) -%}
    {{ baseline_end_at(month_start_at) }} - interval 730 days
{%- endmacro %}
