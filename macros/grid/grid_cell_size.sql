{# Side of a grid cell, metres: 256 pixels of 10 m. #}
{% macro grid_cell_size() -%} 2560 {%- endmacro %}
