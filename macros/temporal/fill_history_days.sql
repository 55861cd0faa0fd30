{#
    A pixel is at most max_age_days older than the chip that it fills. Whether it is suspect depends on chips that are
    at most max_age_days older than its own.
#}
{% macro fill_history_days(rule_version) -%}
    {{ parse_fill_rule(rule_version) }}.max_age_days
    * if({{ parse_fill_rule(rule_version) }}.suspects <=> 'peers', 2, 1)
{%- endmacro %}
