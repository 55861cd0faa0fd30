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
        collect_list(struct(unix_micros(anomalies.acquired_at), anomalies.chip_id, anomalies.evidence)) as history
    from pending
    inner join anomalies
        on pending.cell_id = anomalies.cell_id and pending.feature_kind = anomalies.feature_kind
    where anomalies.judged_patches > 0
    group by pending.cell_id, pending.feature_kind, pending.input_hash

),

found as (

    select
        *,
        cell_events({{ event_rule() }}, history) as events_found
    from histories

),

final as (

    select
        cell_id,
        feature_kind,
        size(history) as observations,
        transform(
            events_found,
            event -> struct(
                event.state,
                timestamp_micros(event.first_seen_us) as first_seen_at,
                timestamp_micros(event.provisional_us) as provisional_at,
                timestamp_micros(event.confirmed_us) as confirmed_at,
                timestamp_micros(event.last_seen_us) as last_seen_at,
                timestamp_micros(event.ended_us) as ended_at,
                event.observations_for,
                event.observations_against,
                event.score,
                event.looks_like,
                event.patches,
                event.chip_id_before,
                event.chip_id_after
            )
        ) as events,
        input_hash
    from found

)

select * from final
