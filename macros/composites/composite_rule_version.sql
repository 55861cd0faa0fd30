{# The rule is JSON, because workers read it from the plan, so each row is made by its own rule. #}
{% macro composite_rule_version() -%}
    {%- set rule = {'method': setting('composite_method') ~ '-v1'} -%}
    {%- do rule.update(validity_rule()) -%}
    '{{ tojson(rule) }}'
{%- endmacro %}
