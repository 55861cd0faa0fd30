{{ config(unique_key=['chip_id', 'feature_kind'], version_columns=['input_hash']) }}

with patches as (

    select * from {{ ref('fct_chip_patches') }}

),

baselines as (

    select * from {{ ref('int_baseline_inputs') }}

),

-- A chip of a month without a baseline is listed, too: that it cannot be judged yet is an answer.
final as (

    select
        patches.chip_id,
        patches.feature_kind,
        patches.cell_id,
        patches.acquired_at,
        baselines.month_start_at,
        sha2(concat_ws(' ', {{ change_rule() }}, patches.input_hash, baselines.input_hash), 256) as input_hash
    from patches
    left join baselines
        on
            patches.cell_id = baselines.cell_id
            and patches.feature_kind = baselines.feature_kind
            and date_trunc('month', patches.acquired_at) = baselines.month_start_at

)

select * from final
