{#
    The embedded catalog has one writer of a table at a time, so any branch of a run is of a dead one. Elsewhere a run
    that is older than two days is taken for dead. The files go when the branch's snapshots expire.
#}
{% macro sink_drop_dead_branches() %}
    {%- set oldest = (run_started_at - modules.datetime.timedelta(days=2)).strftime('%Y%m%d%H%M%S') -%}
    {%- set heads = sink_branches() -%}
    {%- for branch in heads if branch.startswith('run_') -%}
        {%- if env_var('CHIPLAKE_CATALOG') == 'sql' or branch[4:18] < oldest -%}
            {%- do run_query('alter table ' ~ this ~ ' drop branch if exists ' ~ branch) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(heads) }}
{% endmacro %}
