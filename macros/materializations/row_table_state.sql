{# Columns are named because a change of columns makes no snapshot. #}
{% macro row_table_state(table) %}
    {%- set snapshot = none if table.is_view else row_table_properties(table).get('current-snapshot-id') -%}
    {%- if snapshot is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set state = [snapshot] -%}
    {%- for column in adapter.get_columns_in_relation(table) -%}
        {%- do state.append(column.name ~ ' ' ~ column.dtype) -%}
    {%- endfor -%}
    {{ return(state | join('\n')) }}
{% endmacro %}
