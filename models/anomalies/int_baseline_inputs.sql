{{ config(unique_key=['cell_id', 'feature_kind', 'month_start_at'], version_columns=['input_hash']) }}

with patches as (

    select * from {{ ref('fct_chip_patches') }}

),

-- A month of acquisition is compared with what was known 25 days before it began, over two years.
months as (

    select distinct
        cell_id,
        feature_kind,
        date_trunc('month', acquired_at) as month_start_at,
        {{ baseline_first_at("date_trunc('month', acquired_at)") }} as first_at,
        {{ baseline_end_at("date_trunc('month', acquired_at)") }} as end_at
    from patches

),

histories as (

    select
        months.cell_id,
        months.feature_kind,
        months.month_start_at,
        months.first_at,
        months.end_at,
        count(*) as observations,
        sha2(
            array_join(array_sort(collect_list(concat_ws(' ', patches.chip_id, patches.input_hash))), ' '), 256
        ) as history_hash
    from months
    inner join patches on {{ in_baseline_history('patches', 'months') }}
    group by months.cell_id, months.feature_kind, months.month_start_at, months.first_at, months.end_at

),

final as (

    select
        -- ids
        cell_id,
        feature_kind,
        month_start_at,

        -- what is known
        first_at,
        end_at,
        observations,

        -- version
        sha2(concat_ws(' ', {{ change_rule() }}, history_hash), 256) as input_hash
    from histories
    where observations >= {{ baseline_min_observations() }}

)

select * from final
