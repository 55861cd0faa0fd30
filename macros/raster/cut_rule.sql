{% macro cut_rule() -%}
    '{{ tojson({'bands': cut_bands(), 'valid_scl_classes': valid_scl_classes()}) }}'
{%- endmacro %}
