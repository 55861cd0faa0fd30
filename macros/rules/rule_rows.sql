{% macro rule_rows(columns) %}
    select
        {% for column in columns -%}
        {{ column if is_incremental() else 'cast(null as string) as ' ~ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    {% if is_incremental() %}from {{ this }}{% else %}where false{% endif %}
{% endmacro %}
