{#
    The select returns rows for the inputs that the first plan names. It does not run when that plan is empty. Rows are
    merged on `unique_key`. If the table has no row of these inputs, as on most nights, they are inserted instead: Spark
    never broadcasts the target of a MERGE, so it would shuffle the rows without replacing any. An append never
    conflicts with another one, so a catalog without locks gets the MERGE, which fails if another run has added the rows
    meanwhile.

    Rows whose input is gone are deleted. If there are such rows and new ones, both are written on a branch, and readers
    see both at once.
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
    {% set is_pending = row_exists('select 1 from ' ~ pending)
        and (inputs.is_costly or row_exists('select 1 from ' ~ source)) %}
    {% set is_gone = row_is_obsolete(inputs, keys) %}
    {% set has_gone = row_exists('select 1 from ' ~ this ~ ' as target where ' ~ is_gone) %}
    {% set target = row_open_branch(this) if is_pending and has_gone else this %}
    {% if is_pending %}
        {% set adds_only = env_var('CHIPLAKE_CATALOG') == 'sql' and not row_exists(rows_again) %}
        {% set changes = '(select *, false as is_gone from ' ~ source ~ ')' %}
        {% call statement('main') %}
            {{ row_insert(target, source, columns) if adds_only else row_merge(target, changes, keys, columns) }}
        {% endcall %}
    {% else %}
        {% call noop_statement('main', 'nothing pending') %}{% endcall %}
    {% endif %}
    {% if has_gone and (not is_pending or row_exists('select 1 from ' ~ target ~ ' as target where ' ~ is_gone)) %}
        {% do run_query('delete from ' ~ target ~ ' as target where ' ~ is_gone) %}
    {% endif %}
    {% do row_publish_branch(this) if target != this %}
{% endmacro %}
