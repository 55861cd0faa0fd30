{# SCL classes of a valid pixel, '2,4,5,...': variable or setting `valid_scl_classes`. #}
{% macro valid_scl_classes() -%}
    {{- setting('valid_scl_classes') | map('int') | join(',') -}}
{%- endmacro %}
