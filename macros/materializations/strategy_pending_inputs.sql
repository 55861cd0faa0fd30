{#
    The select returns rows for the inputs that the first plan names. It does not run when that plan is empty. Rows are
    written by `unique_key` (row_write).

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
        {% do row_write(target, '(select *, false as is_gone from ' ~ source ~ ')', rows_again, keys, columns) %}
    {% else %}
        {% call noop_statement('main', 'nothing pending') %}{% endcall %}
    {% endif %}
    {% if has_gone and (not is_pending or row_exists('select 1 from ' ~ target ~ ' as target where ' ~ is_gone)) %}
        {% do run_query('delete from ' ~ target ~ ' as target where ' ~ is_gone) %}
    {% endif %}
    {% do row_publish_branch(this) if target != this %}
{% endmacro %}
