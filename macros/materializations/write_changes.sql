{#
    Writes the columns that select and table share: `on_schema_change` has added the select's new columns before, or
    leaves them out (`ignore`), and a column that the select lacks keeps its values (`append_new_columns`).
#}
{% macro write_changes(existing, compiled_code) %}
    {%- set source = make_temp_relation(this, '__dbt_tmp') -%}
    {% do row_delete_copies(this, row_key_columns(config.get('unique_key'))) %}
    {% do view_create(create_temporary_view(source, compiled_code)) %}
    {% do process_schema_changes(
        incremental_validate_on_schema_change(config.get('on_schema_change')), source, existing
    ) %}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(compiled_code) %}
    {% endif %}
    {% set selected = adapter.get_columns_in_relation(source) | map(attribute='name') | list %}
    {% set columns = adapter.get_columns_in_relation(this) | map(attribute='name') | select('in', selected) | list %}

    {% if config.get('inputs') %}
        {% do strategy_pending_inputs(source, columns) %}
    {% else %}
        {% do strategy_changed_rows(source, columns) %}
    {% endif %}
    {% do run_query('drop view if exists ' ~ source) %}
{% endmacro %}
