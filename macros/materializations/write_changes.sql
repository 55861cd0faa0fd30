{% macro write_changes(existing, compiled_code) %}
    {%- set strategy = config.get('incremental_strategy') -%}
    {%- set source = make_temp_relation(this, '__dbt_tmp') -%}
    {%- set former = config.get('meta') or {} -%}
    {%- if former.inputs or former.version -%}
        {{ exceptions.raise_compiler_error(
            'meta.inputs and meta.version of release 0.1.0 are now incremental_strategy, inputs and version_columns'
        ) }}
    {%- endif -%}

    {% call statement('create_source') %}
        {{ create_temporary_view(source, compiled_code) }}
    {% endcall %}
    {% do process_schema_changes(
        incremental_validate_on_schema_change(config.get('on_schema_change'), default='append_new_columns'),
        source, existing
    ) %}
    {% if config.get('contract').enforced %}
        {% do get_assert_columns_equivalent(compiled_code) %}
    {% endif %}
    {% set columns = adapter.get_columns_in_relation(this) | map(attribute='name') | list %}

    {% if strategy == 'pending_inputs' %}
        {% do strategy_pending_inputs(source, columns) %}
    {% elif strategy in ('changed_rows', none) %}
        {% do strategy_changed_rows(source, columns) %}
    {% else %}
        {{ exceptions.raise_compiler_error(
            "incremental_strategy is '" ~ strategy ~ "'; write changed_rows or pending_inputs"
        ) }}
    {% endif %}
    {% do run_query('drop view if exists ' ~ source) %}
{% endmacro %}
