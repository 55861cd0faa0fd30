{# Sen2Cor writes 99.99 where a user runs it. It says nothing about an offset or an age. #}
{% macro is_of_user(processing_baseline) -%}
    coalesce({{ processing_baseline }} like '99.%', false)
{%- endmacro %}
