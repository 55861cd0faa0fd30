{%- set inputs = {
    'model': 'int_event_inputs', 'key': ['cell_id', 'feature_kind'], 'version': 'input_hash', 'is_costly': true
} -%}

{{ config(unique_key=['cell_id', 'feature_kind'], inputs=inputs) }}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

anomalies as (

    select * from {{ ref('fct_chip_anomalies') }}

),

histories as (

    select
        pending.cell_id,
        pending.feature_kind,
        pending.input_hash,
        collect_list(struct(anomalies.acquired_at, anomalies.chip_id, anomalies.evidence)) as history
    from pending
    inner join anomalies
        on pending.cell_id = anomalies.cell_id and pending.feature_kind = anomalies.feature_kind
    where anomalies.judged_patches > 0
    group by pending.cell_id, pending.feature_kind, pending.input_hash

),

final as (

    select
        cell_id,
        feature_kind,
        size(history) as observations,
        cell_events({{ event_rule() }}, history) as events,
        input_hash
    from histories

)

select * from final
