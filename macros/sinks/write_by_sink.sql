{#
    The table of a model with pixels. Its select is a plan: workers make the rows of the table from it (`sink`, see
    python_udfs/sinks) and write the data files, so no pixel passes through the JVM. All that a run adds, replaces and
    removes becomes visible in one commit.
#}
{% macro write_by_sink(existing, compiled_code) %}
    {%- set is_table = existing is not none and not existing.is_view -%}
    {% do adapter.drop_relation(existing) if existing is not none and existing.is_view %}
    {% if not is_table %}
        {% do run_query(sink_create_table()) %}
    {% elif should_full_refresh() %}
        {% do run_query('alter table ' ~ this ~ ' set ' ~ tblproperties_clause()) if config.get('tblproperties') %}
    {% else %}
        {% do row_delete_copies(this, row_key_columns(config.get('unique_key'))) %}
    {% endif %}
    {% set planned_at = sink_drop_dead_branches().get('main') %}
    {% do plan_make_all() %}
    {% set pending = plan_view(plan_names()[0]) %}
    {#- An input can be pending without anything to do for it yet. -#}
    {% set is_pending = row_exists('select 1 from ' ~ plan_view(plan_names() | last)) %}
    {% set removed = sink_rows_to_remove(pending, is_pending) if planned_at is not none else [] %}
    {% if is_pending %}
        {% call statement('main') %}
            {{ sink_view('sink', {
                'work': config.get('sink'), 'planned_at': planned_at, 'is_staged': removed | length > 0
            }) }}
        {% endcall %}
        {% call statement('main') %}
            insert into {{ plan_view('sink') }} by name
            {{ compiled_code }}
        {% endcall %}
        {% do sink_publish(planned_at, removed) if removed or not sink_is_published() %}
        {% do run_query('drop view ' ~ plan_view('sink')) %}
    {% else %}
        {% call noop_statement('main', 'nothing pending') %}{% endcall %}
        {% for kind in removed %}
            {% do run_query('delete from ' ~ this ~ ' as target where ' ~ sink_is_removed(kind, pending)) %}
        {% endfor %}
    {% endif %}
{% endmacro %}
