{% macro valid_scl_classes() -%}
    {{- setting('valid_scl_classes') | map('int') | join(',') -}}
{%- endmacro %}
