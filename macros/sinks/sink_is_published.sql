{% macro sink_is_published() %}
    {{ return(row_exists(
        'select 1 from ' ~ this ~ '.history as history inner join ' ~ this ~ '.snapshots as snapshots'
        ~ ' on history.snapshot_id = snapshots.snapshot_id'
        ~ " where snapshots.summary['chiplake.run-id'] = " ~ text_literal(invocation_id)
    )) }}
{% endmacro %}
