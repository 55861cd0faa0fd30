{# The rule is JSON, because workers read it from the plan, so each row is made by its own rule. #}
{% macro composite_rule_version() -%}
    '{{ tojson({
        'method': setting('composite_method') ~ '-v1',
        'valid_scl_classes': valid_scl_classes(),
        'cloud_dilation_pixels': setting('fill_cloud_dilation_pixels') | int,
    }) }}'
{%- endmacro %}
