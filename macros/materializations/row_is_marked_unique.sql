{% macro row_is_marked_unique(target) %}
    {%- set properties = row_table_properties(target) -%}
    {{ return(properties.get('chiplake.unique-at') == properties.get('current-snapshot-id')) }}
{% endmacro %}
