{% macro change_rule() -%} '{"method": "patch-season-v1"}' {%- endmacro %}
