{#
    The select returns rows for the inputs that the first plan names. It does not run when that plan is empty. Rows are
    merged on `unique_key`. If the table has no row of these inputs, as on most nights, they are inserted instead: Spark
    never broadcasts the target of a MERGE, so it would shuffle the rows without replacing any. An append never
    conflicts with another one, so a catalog without locks gets the MERGE, which fails if another run has added the rows
    meanwhile. Then rows whose input is gone are deleted.
#}
{% macro strategy_pending_inputs(source, columns) %}
    {%- set inputs = config.get('inputs') -%}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- set pending = plan_view(plan_names()[0]) -%}
    {%- set rows_again -%}
        select 1
        from {{ pending }} as pending
        inner join {{ this }} as done on {{ row_matches(row_key_columns(inputs.key), 'pending', 'done') }}
    {%- endset -%}
    {#- A select that reads pixels is too costly for a check whether it has rows; it has some for each input. -#}
    {% set is_pending = row_exists('select 1 from ' ~ pending) %}
    {% if not is_pending or not (inputs.is_costly or row_exists('select 1 from ' ~ source)) %}
        {% call noop_statement('main', 'nothing pending') %}{% endcall %}
    {% else %}
        {% set changes = 'select *, false as is_gone from ' ~ source %}
        {% set adds_only = env_var('CHIPLAKE_CATALOG') == 'sql' and not row_exists(rows_again) %}
        {% call statement('main') %}
            {{ row_insert(this, source, columns) if adds_only else row_merge(this, changes, keys, columns) }}
        {% endcall %}
    {% endif %}
    {% do row_delete_without_input(this, inputs, keys) %}
{% endmacro %}
