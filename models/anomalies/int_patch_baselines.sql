{%- set inputs = {
    'model': 'int_baseline_inputs', 'key': ['cell_id', 'feature_kind', 'month_start_at'], 'version': 'input_hash',
    'is_costly': true
} -%}

{{ config(
    unique_key=['cell_id', 'feature_kind', 'month_start_at'],
    partition_by=['months(month_start_at)'],
    tblproperties=chip_table_properties(['baseline']),
    inputs=inputs
) }}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

patches as (

    select * from {{ ref('fct_chip_patches') }}

),

histories as (

    select
        pending.cell_id,
        pending.feature_kind,
        pending.month_start_at,
        pending.input_hash,
        collect_list(struct(unix_micros(patches.acquired_at), patches.chip_id, patches.patches)) as history
    from pending
    inner join patches on {{ in_baseline_history('patches', 'pending') }}
    group by pending.cell_id, pending.feature_kind, pending.month_start_at, pending.input_hash

),

final as (

    select
        cell_id,
        feature_kind,
        month_start_at,
        size(history) as observations,
        patch_baseline(history) as baseline,
        input_hash
    from histories

)

select * from final
