{{ config(unique_key=['datatake_id', 'epsg']) }}

with scenes as (

    select * from {{ ref('int_scenes') }}

),

final as (

    select
        datatake_id,
        epsg,
        min(acquired_at) as acquired_at,
        count(*) as scene_count,
        sha2(
            concat_ws(
                ' ',
                array_join(array_sort(collect_list(concat(scene_id, ' ', scene_hash))), ' '),
                {{ grid_version() }}
            ),
            256
        ) as datatake_hash
    from scenes
    group by datatake_id, epsg

)

select * from final
