{% macro fill_rule_version() -%}
    'newest-valid-v1 max_age_days={{ setting("fill_max_age_days") | int }} valid_scl_classes={{ valid_scl_classes() }}'
{%- endmacro %}
