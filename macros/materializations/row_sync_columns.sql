{# dbt's process_schema_changes describes both relations again, so it is called only if they differ. #}
{% macro row_sync_columns(target, source, selected) %}
    {%- set present = adapter.get_columns_in_relation(target) -%}
    {%- set differences = diff_columns(selected, present) + diff_columns(present, selected)
        + diff_column_data_types(selected, present) -%}
    {%- if differences -%}
        {%- do process_schema_changes(
            incremental_validate_on_schema_change(config.get('on_schema_change')), source, target
        ) -%}
        {%- set present = adapter.get_columns_in_relation(target) -%}
    {%- endif -%}
    {{ return(present) }}
{% endmacro %}
