{# The rule is JSON, because the fold reads it from the plan, so each row is filled by its own rule. #}
{% macro fill_rule_version() -%}
    {%- set rule = {'method': 'newest-valid-v1', 'max_age_days': setting('fill_max_age_days') | int} -%}
    {%- do rule.update(validity_rule()) -%}
    {%- do rule.update({
        'adjust': setting('fill_adjust'),
        'suspects': setting('fill_suspects'),
        'suspect_bright_ratio': setting('fill_suspect_bright_ratio') | float,
        'suspect_bright_difference': setting('fill_suspect_bright_difference') | float,
        'suspect_dark_ratio': setting('fill_suspect_dark_ratio') | float,
        'min_complete': setting('fill_min_complete') | float,
    }) -%}
    '{{ tojson(rule) }}'
{%- endmacro %}
