{% macro baseline_min_observations() -%} 10 {%- endmacro %}
