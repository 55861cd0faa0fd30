{# A rule without probabilities says nothing of them, so that chips of earlier releases have the same rule. #}
{% macro cut_rule() -%}
    {%- set rule = {'bands': cut_bands(), 'valid_scl_classes': valid_scl_classes()} -%}
    {%- if setting('probabilities') -%}
        {%- do rule.update({'probabilities': true}) -%}
    {%- endif -%}
    '{{ tojson(rule) }}'
{%- endmacro %}
