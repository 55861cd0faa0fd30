{#
    Publishes the staged files together with the removal of rows. If another writer moves main meanwhile, the removal is
    done again on what main is then. Only a change of the same rows ends the run.
#}
{% macro sink_publish(planned_at, removed) %}
    {%- set staged = this ~ '.branch_' ~ run_branch() -%}
    {%- set attempts = 5 -%}
    {% set state = namespace(is_done=false) %}
    {% for attempt in range(attempts) %}
        {% if not state.is_done %}
            {% set head = sink_branches().get('main') %}
            {% do sink_refuse_conflict(planned_at, head, staged) if head != planned_at %}
            {% set onto = run_branch() ~ '_' ~ attempt if removed and head is not none else none %}
            {% if onto is not none %}
                {% do run_query('alter table ' ~ this ~ ' create branch ' ~ onto ~ ' as of version ' ~ head) %}
                {% for kind in removed %}
                    {% do run_query(
                        'delete from ' ~ this ~ '.branch_' ~ onto ~ ' as target where ' ~ sink_is_removed(kind, staged)
                    ) %}
                {% endfor %}
            {% endif %}
            {% do run_query(sink_view('publisher', {'work': 'publish', 'planned_at': head, 'onto': onto})) %}
            {% do run_query('insert into ' ~ plan_view('publisher') ~ ' select 0') %}
            {% do run_query('drop view ' ~ plan_view('publisher')) %}
            {% set state.is_done = sink_is_published() %}
        {% endif %}
    {% endfor %}
    {% if not state.is_done %}
        {{ exceptions.raise_compiler_error(
            this ~ ': other writers changed it ' ~ attempts ~ ' times while this run published its rows; none of'
            ~ ' them is visible: run this again'
        ) }}
    {% endif %}
    {% do sink_drop_own_branches() %}
{% endmacro %}
