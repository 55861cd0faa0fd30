{% macro cut_rule() -%}
    '{{ tojson({'bands': cut_bands(), 'valid_scl_classes': valid_scl_classes()}) }}'
{%- endmacro %}


{% macro parse_cut_rule(rule) -%}
    from_json({{ rule }}, 'bands array<string>, valid_scl_classes array<int>')
{%- endmacro %}
