{% macro parse_cut_rule(rule) -%}
    from_json({{ rule }}, 'bands array<string>, valid_scl_classes array<int>')
{%- endmacro %}
