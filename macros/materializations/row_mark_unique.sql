{# The mark is a property of the table, so it costs no snapshot. #}
{% macro row_mark_unique(target) %}
    {%- set properties = row_table_properties(target) -%}
    {%- set snapshot = properties.get('current-snapshot-id') -%}
    {% if properties.get('chiplake.unique-at') != snapshot %}
        {% do run_query('alter table ' ~ target ~ " set tblproperties ('chiplake.unique-at' = '" ~ snapshot ~ "')") %}
    {% endif %}
{% endmacro %}
