{# SQL has no `let`: without this macro each use of a value would repeat its whole expression. #}
{% macro bind(name, value, expression) -%}
    get(transform(array({{ value }}), {{ name }} -> {{ expression }}), 0)
{%- endmacro %}
