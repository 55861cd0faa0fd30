{% macro parse_fill_rule(rule_version) -%}
    from_json({{ rule_version }}, 'max_age_days int, suspects string')
{%- endmacro %}
