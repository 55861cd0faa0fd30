{% macro rule_rows(columns) %}
    select
        {% for column in columns -%}
        {{ column if updates_table() else 'cast(null as string) as ' ~ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    {% if updates_table() %}from {{ this }}{% else %}where false{% endif %}
{% endmacro %}
