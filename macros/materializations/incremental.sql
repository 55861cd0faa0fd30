{#
    Replaces dbt-spark's materialization, which commits a snapshot even when nothing changed, drops a table before it
    creates it again, and cannot delete rows. `incremental_strategy` says what the model's select returns:

    - `changed_rows`: all rows that the table should have (strategy_changed_rows).
    - `pending_inputs`: the rows of those inputs that the table does not have yet (strategy_pending_inputs).

    A model's plans (`plans`) are made first, each once, into small views over cached rows (plan_make_all).
#}
{% materialization incremental, adapter='spark', supported_languages=['sql'] %}
    {%- set existing = load_relation(this) -%}
    {%- set is_first_run = existing is none or should_full_refresh() -%}

    {{ run_hooks(pre_hooks) }}

    {% if flags.EMPTY and not is_first_run %}
        {#- `--empty` makes every input look empty, so an existing table must not change. -#}
        {% call noop_statement('main', 'left as it is') %}{% endcall %}
    {% else %}
        {% do row_add_declared_columns(existing) if not is_first_run %}
        {% do plan_make_all() %}
        {% if is_first_run %}
            {% call statement('main') %}
                {{ create_table_as(false, this, compiled_code) }}
            {% endcall %}
        {% else %}
            {% do write_changes(existing, compiled_code) %}
        {% endif %}
        {% do plan_drop_all() %}
        {% do persist_docs(this, model) %}
    {% endif %}

    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [this]}) }}
{% endmaterialization %}
