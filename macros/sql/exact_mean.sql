{# The mean of a column of doubles. Decimals are added exactly, so the order of the rows changes no digit. #}
{% macro exact_mean(column) %}
    cast(avg(cast({{ column }} as decimal(24, 12))) as double)
{% endmacro %}
