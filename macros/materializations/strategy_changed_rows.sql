{#
    The select returns all rows that the table should have. Rows that differ from the table's are written, rows that the
    select lacks are deleted. `version_columns` may name the columns that are compared. The differences are computed
    once, because a MERGE reads its source several times.
#}
{% macro strategy_changed_rows(source, columns) %}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- set compared = config.get('version_columns') or columns -%}
    {% do plan_drop('changes') %}
    {% set changes = plan_make('changes', row_changes(source, this, keys, columns, compared)) %}
    {% if row_exists('select 1 from ' ~ changes) %}
        {%- set known_rows -%}
            select 1
            from {{ changes }} as source
            left semi join {{ this }} as target on {{ row_matches(keys, 'source', 'target') }}
        {%- endset -%}
        {% do row_write(this, changes, known_rows, keys, columns) %}
    {% else %}
        {% call noop_statement('main', 'nothing changed') %}{% endcall %}
    {% endif %}
    {% do run_query('drop view ' ~ changes) %}
{% endmacro %}
