{#
    Rows differ if they have another version. Compaction changes no row, and rows of other keys do not matter. The plan
    cannot say which rows this run writes: Spark computes what it has cached again when a table changes.
#}
{% macro sink_refuse_conflict(planned_at, head, staged) %}
    {%- set inputs = config.get('inputs') -%}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- set compared = (keys + [inputs.version] + (['error'] if inputs.retry_errors else [])) | join(', ') -%}
    {%- set now = 'select ' ~ compared ~ ' from ' ~ this
        ~ ('.snapshot_id_' ~ head if head is not none else ' where false') -%}
    {%- set then = 'select ' ~ compared ~ ' from ' ~ this
        ~ ('.snapshot_id_' ~ planned_at if planned_at is not none else ' where false') -%}
    {%- set changed = '(' ~ now ~ ' except ' ~ then ~ ') union all (' ~ then ~ ' except ' ~ now ~ ')' -%}
    {%- set count = run_query(
        'select count(*) from ' ~ staged ~ ' as staged left semi join (' ~ changed ~ ') as changed on '
        ~ row_matches(keys, 'staged', 'changed')
    ).rows[0][0] | int -%}
    {%- if count -%}
        {% do sink_drop_own_branches() %}
        {{ exceptions.raise_compiler_error(
            this ~ ': another run wrote ' ~ count ~ ' of the same rows since this one planned them; nothing of this run'
            ~ ' is visible, and nothing is lost: run this again, and it does what is still to do'
        ) }}
    {%- endif -%}
{% endmacro %}
