{# With a window, `recompute` leaves rows outside of the window as they are. #}
{% macro rule_is_kept(relation) -%}
    {%- if rule_recompute() -%}
        not (true {{ in_window(relation) }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
