{% macro grid_cell_size() -%} 2560 {%- endmacro %}
