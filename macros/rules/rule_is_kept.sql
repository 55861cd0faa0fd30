{# With a window, `recompute` leaves rows outside of the window as they are. #}
{% macro rule_is_kept(relation, first_at='acquired_at', last_at='acquired_at') -%}
    {%- if rule_recompute() -%}
        not (true {{ in_window(relation, first_at, last_at) }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
