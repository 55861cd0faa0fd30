{{ config(unique_key=['cell_id', 'feature_kind'], version_columns=['input_hash']) }}

with anomalies as (

    select * from {{ ref('fct_chip_anomalies') }}

),

-- A chip without a judged patch says nothing for or against an event.
final as (

    select
        cell_id,
        feature_kind,
        count(*) as observations,
        sha2(
            concat_ws(
                ' ',
                {{ event_rule() }},
                array_join(array_sort(collect_list(concat_ws(' ', chip_id, input_hash))), ' ')
            ),
            256
        ) as input_hash
    from anomalies
    where judged_patches > 0
    group by cell_id, feature_kind

)

select * from final
