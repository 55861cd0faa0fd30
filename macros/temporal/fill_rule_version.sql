{# The rule is JSON, because the fold reads it from the plan, so each row is filled by its own rule. #}
{% macro fill_rule_version() -%}
    '{{ tojson({
        'method': 'newest-valid-v1',
        'max_age_days': setting('fill_max_age_days') | int,
        'valid_scl_classes': valid_scl_classes(),
        'cloud_dilation_pixels': setting('fill_cloud_dilation_pixels') | int,
        'adjust': setting('fill_adjust'),
        'suspects': setting('fill_suspects'),
        'suspect_bright_ratio': setting('fill_suspect_bright_ratio') | float,
        'suspect_bright_difference': setting('fill_suspect_bright_difference') | float,
        'suspect_dark_ratio': setting('fill_suspect_dark_ratio') | float,
        'min_complete': setting('fill_min_complete') | float,
    }) }}'
{%- endmacro %}
