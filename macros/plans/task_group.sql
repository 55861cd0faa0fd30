{# The numbers are dealt like cards, the largest piece of work first, so that no core is left with a large one. #}
{% macro task_group(size, key) -%}
    (row_number() over (order by {{ size }} desc, {{ key }}) - 1) % {{ setting('shuffle_partitions') | int }}
{%- endmacro %}
