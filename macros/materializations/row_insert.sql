{% macro row_insert(target, source, columns) %}
    insert into {{ target }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ source }}
{% endmacro %}
