{#
    Keeps a table equal to what the model's select says of its inputs: rows that differ are written, rows that are gone
    are deleted, and nothing is committed where nothing changed. `inputs` decides what the select returns:

    - without `inputs`: all rows that the table should have (strategy_changed_rows).
    - with `inputs`: the rows of those inputs that the table does not have yet (strategy_pending_inputs).

    A model's plans (`plans`) are made first, each once, into small views over cached rows (plan_make_all). Nothing is
    compared if the code, the SQL and the inputs are those of the last run (row_made_from).
#}
{% materialization exact_incremental, adapter='spark', supported_languages=['sql'] %}
    {%- do exact_check_config() -%}
    {%- set existing = load_relation(this) -%}
    {%- set is_table = existing is not none and not existing.is_view -%}
    {%- set is_first_run = not is_table or should_full_refresh() -%}

    {{ run_hooks(pre_hooks) }}

    {#- Before the plans, so that a change of an input meanwhile is seen by the next run. -#}
    {% set made_from = row_made_from(compiled_code) %}
    {% if flags.EMPTY and not is_first_run %}
        {#- `--empty` makes every input look empty, so an existing table must not change. -#}
        {% call noop_statement('main', 'left as it is') %}{% endcall %}
    {% elif not is_first_run and row_is_unchanged(this, made_from) %}
        {% call noop_statement('main', 'unchanged') %}{% endcall %}
    {% else %}
        {#- A full refresh replaces the table, but that of a sink keeps its columns. -#}
        {% set keeps_columns = is_table if config.get('sink') else not is_first_run %}
        {% do row_add_declared_columns(existing) if keeps_columns %}
        {% if config.get('sink') %}
            {% do write_by_sink(existing, compiled_code) %}
        {% elif is_first_run %}
            {% do plan_make_all() %}
            {% do adapter.drop_relation(existing) if existing is not none and existing.is_view %}
            {% call statement('main') %}
                {{ create_table_as(false, this, compiled_code) }}
            {% endcall %}
        {% else %}
            {% do plan_make_all() %}
            {% do write_changes(existing, compiled_code) %}
        {% endif %}
        {% do plan_drop_all() %}
        {% do persist_docs(this, model) %}
        {#- The select of a first run may have a key twice. -#}
        {% do row_mark(this, made_from, is_unique=config.get('sink') or not is_first_run) %}
    {% endif %}

    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [this]}) }}
{% endmaterialization %}
