{% macro patch_area_ha() -%} 0.64D {%- endmacro %}
