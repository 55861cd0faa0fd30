{% macro baseline_end_at(month_start_at) -%}
    {{ month_start_at }} - interval 25 days
{%- endmacro %}
