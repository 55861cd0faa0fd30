{#
    In place of dbt-spark's materialization, which commits a snapshot even when nothing changed, drops a table
    before it makes it anew, and cannot delete. Two ways, by configuration:

    - `meta.inputs` given: the select yields rows for those inputs that the table has not yet. They are merged on
      `unique_key`; then rows whose input is gone are deleted. With `is_costly`, the select is not even started
      unless `pending_inputs` finds some (cheap, metadata alone); and where the table has no row of any of them, as
      on most nights, they are inserted: Spark never broadcasts the target of a MERGE, so that it would shuffle and
      sort the pixels only to find that there is nothing to replace.
    - otherwise: the select yields all rows that should be there. Those that differ from the table's are merged,
      those missing from the select are deleted. `meta.version` may name the columns that tell a difference.
#}
{% materialization incremental, adapter='spark', supported_languages=['sql'] %}
    {%- set inputs = (config.get('meta') or {}).get('inputs') -%}
    {%- set existing = load_relation(this) -%}
    {%- set source = make_temp_relation(this, '__dbt_tmp') -%}
    {%- set keys = as_list(config.get('unique_key')) -%}

    {{ run_hooks(pre_hooks) }}

    {% if existing is none or should_full_refresh() %}
        {% call statement('main') %}
            {{ create_table_as(false, this, compiled_code) }}
        {% endcall %}
        {% do persist_docs(this, model) %}
    {% elif flags.EMPTY %}
        {#- `--empty` lets every input look empty: a table that is there stays as it is. -#}
        {% call noop_statement('main', 'left as it is') %}{% endcall %}
    {% else %}
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
        {% if inputs %}
            {% set changes = 'select *, false as is_gone from ' ~ source %}
        {% else %}
            {% set changes = changed_rows(source, this, keys, columns, (config.get('meta') or {}).get('version')) %}
        {% endif %}

        {% set is_costly = inputs and inputs.is_costly %}
        {% if is_costly and not has_rows(pending_inputs(inputs)) %}
            {% call noop_statement('main', 'nothing pending') %}{% endcall %}
        {% elif not is_costly and not has_rows(changes) %}
            {% call noop_statement('main', 'nothing changed') %}{% endcall %}
        {% else %}
            {% set adds_only = is_costly and not has_rows(pending_again(inputs)) %}
            {% call statement('main') %}
                {{ insert_rows(this, source, columns) if adds_only else merge_rows(this, changes, keys, columns) }}
            {% endcall %}
        {% endif %}
        {% do run_query('drop view if exists ' ~ source) %}
        {% do persist_docs(this, model) %}
    {% endif %}

    {% if inputs and existing is not none and not should_full_refresh() and not flags.EMPTY %}
        {% do delete_rows_without_input(this, inputs, keys) %}
    {% endif %}

    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [this]}) }}
{% endmaterialization %}


{% macro has_rows(select) %}
    {% set found = run_query('select 1 as found from (' ~ select ~ ') limit 1') %}
    {{ return(found.rows | length > 0) }}
{% endmacro %}


{% macro as_list(value) %}
    {{ return([value] if value is string else (value or [])) }}
{% endmacro %}


{% macro changed_rows(source, target, keys, columns, version) %}
    select
        {% for column in columns %}source.{{ column }}, {% endfor %}
        false as is_gone
    from {{ source }} as source
    left anti join {{ target }} as target
        on {{ same(keys, 'source', 'target') }}
        and {{ same(as_list(version) or columns, 'source', 'target') }}
    union all
    select
        {% for column in columns %}target.{{ column }}, {% endfor %}
        true as is_gone
    from {{ target }} as target
    left anti join {{ source }} as source
        on {{ same(keys, 'source', 'target') }}
{% endmacro %}


{% macro same(columns, first, second) %}
    {%- for column in columns -%}
        {{ first }}.{{ column }} <=> {{ second }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}


{# Pending inputs of which the table has rows already: of an older version, or failed. #}
{% macro pending_again(inputs) %}
    select 1
    from ({{ pending_inputs(inputs) }}) as pending
    inner join {{ this }} as done
        on {{ same(as_list(inputs.key), 'pending', 'done') }}
{% endmacro %}


{% macro insert_rows(target, source, columns) %}
    insert into {{ target }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ source }}
{% endmacro %}


{# One statement, so one snapshot: all of it or nothing. #}
{% macro merge_rows(target, changes, keys, columns) %}
    merge into {{ target }} as target
    using ({{ changes }}) as source
    on {{ same(keys, 'source', 'target') }}
    when matched and source.is_gone then delete
    when matched then update set
        {% for column in columns %}{{ column }} = source.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    when not matched and not source.is_gone then insert ({{ columns | join(', ') }})
        values ({% for column in columns %}source.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}


{#
    Where an input makes several rows (its key is not the model's own), those of an older version of the input go
    too: the merge has put the newer ones beside them.
#}
{% macro delete_rows_without_input(target, inputs, keys) %}
    {%- set input_keys = as_list(inputs.key) -%}
    {%- set compared = input_keys if input_keys == keys else input_keys + [inputs.version] -%}
    {%- set is_obsolete -%}
        not exists (
            select 1 from {{ ref(inputs.model) }} as inputs
            where {{ same(compared, 'inputs', 'target') }}
        )
    {%- endset -%}
    {% if has_rows('select 1 from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
        {% do run_query('delete from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
    {% endif %}
{% endmacro %}
