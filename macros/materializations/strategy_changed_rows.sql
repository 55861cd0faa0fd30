{#
    The select returns all rows that the table should have. Rows that differ from the table's are merged, rows that the
    select lacks are deleted. `version_columns` may name the columns that are compared.
#}
{% macro strategy_changed_rows(source, columns) %}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- set changes = row_changes(source, this, keys, columns, config.get('version_columns') or columns) -%}
    {% if row_exists(changes) %}
        {% call statement('main') %}
            {{ row_merge(this, changes, keys, columns) }}
        {% endcall %}
    {% else %}
        {% call noop_statement('main', 'nothing changed') %}{% endcall %}
    {% endif %}
{% endmacro %}
