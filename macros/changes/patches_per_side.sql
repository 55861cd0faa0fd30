{% macro patches_per_side() -%} 32 {%- endmacro %}
