{% macro parse_cut_rule(rule) -%}
    from_json({{ rule }}, 'bands array<string>, probabilities boolean, valid_scl_classes array<int>')
{%- endmacro %}
