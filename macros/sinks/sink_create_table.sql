{% macro sink_create_table() %}
    create table if not exists {{ this }} (
        {% for column in model.columns.values() %}
        {{ adapter.quote(column.name) }} {{ column.data_type }}{{ ',' if not loop.last }}
        {% endfor %}
    )
    {{ file_format_clause() }}
    {{ partition_cols(label='partitioned by') }}
    {{ tblproperties_clause() }}
    {{ comment_clause() }}
{% endmacro %}
