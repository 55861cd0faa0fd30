{%- set inputs = {
    'model': 'int_anomaly_inputs', 'key': ['chip_id', 'feature_kind'], 'version': 'input_hash', 'is_costly': true
} -%}

{{ config(
    unique_key=['chip_id', 'feature_kind'],
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(['scores', 'evidence']),
    inputs=inputs,
    days_of_plan='pending_inputs'
) }}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

patches as (

    select *
    from {{ ref('fct_chip_patches') }}
    where true {{ in_days_of_plan('pending_inputs', 'acquired_at') }}

),

baselines as (

    select *
    from {{ ref('int_patch_baselines') }}
    where true {{ in_months_of_plan('pending_inputs', 'month_start_at') }}

),

judged as (

    select
        patches.*,
        pending.input_hash as anomaly_hash,
        coalesce(baselines.observations, 0) as baseline_observations,
        chip_anomaly(unix_micros(patches.acquired_at), patches.patches, baselines.baseline) as anomaly
    from pending
    inner join patches
        on pending.chip_id = patches.chip_id and pending.feature_kind = patches.feature_kind
    left join baselines
        on
            pending.cell_id = baselines.cell_id
            and pending.feature_kind = baselines.feature_kind
            and pending.month_start_at = baselines.month_start_at

),

final as (

    select
        -- ids
        chip_id,
        feature_kind,
        cell_id,
        geohash,
        acquired_at,

        -- how unusual each patch is
        anomaly.scores,
        anomaly.evidence,
        anomaly.judged_patches,

        -- the most unusual patch
        anomaly.max_score,
        anomaly.patch_row,
        anomaly.patch_col,
        anomaly.looks_like,

        -- quality
        observed_patches,
        baseline_observations,

        -- version
        anomaly_hash as input_hash
    from judged

)

select * from final
