{% set inputs = {'model': 'int_datatakes', 'key': ['datatake_id', 'epsg'], 'version': 'datatake_hash'} %}

{{ config(
    unique_key='chip_id',
    inputs=inputs,
    plans=['datatakes_to_plan']
) }}

with datatakes as (

    select * from {{ plan('datatakes_to_plan', inputs) }}

),

existing as (

    {{ rule_rows(['chip_id', 'scenes_hash', 'cut_rule']) }}

),

scenes as (

    select * from {{ ref('int_scenes') }}

),

scene_cells as (

    select * from {{ ref('int_scene_cells') }}

),

-- One acquisition makes one chip: its scenes are overlapping tiles of a datatake and the parts of a split pass.
chips as (

    select
        scene_cells.cell_id,
        scenes.datatake_id,
        any_value(datatakes.datatake_hash) as datatake_hash,
        any_value(scenes.epsg) as epsg,
        any_value(scene_cells.cell_col) as cell_col,
        any_value(scene_cells.cell_row) as cell_row,
        any_value(scenes.platform) as platform,
        min(scenes.acquired_at) as acquired_at,
        {{ newest_baseline('scenes.processing_baseline') }} as processing_baseline,
        array_sort(
            collect_list(
                struct(
                    scenes.scene_id,
                    scenes.scene_hash,
                    scene_cells.is_whole,
                    scenes.item_id,
                    scenes.boa_offset
                )
            )
        ) as scenes
    from datatakes
    inner join scenes
        on datatakes.datatake_id = scenes.datatake_id and datatakes.epsg = scenes.epsg
    inner join scene_cells on scenes.scene_id = scene_cells.scene_id
    group by scene_cells.cell_id, scenes.datatake_id

),

placed_chips as (

    select
        *,
        {{ grid_cell_centre('epsg', 'cell_col', 'cell_row') }} as centre
    from chips

),

planned as (

    select
        concat_ws('_', cell_id, datatake_id) as chip_id,
        cell_id,
        datatake_id,
        epsg,
        cell_col,
        cell_row,
        {{ grid_geohash('centre') }} as geohash,
        st_x(centre) as longitude,
        st_y(centre) as latitude,
        platform,
        acquired_at,
        processing_baseline,
        transform(scenes, scene -> scene.item_id) as item_ids,
        transform(scenes, scene -> scene.boa_offset) as boa_offsets,
        transform(scenes, scene -> scene.scene_id) as scene_ids,
        transform(filter(scenes, scene -> scene.is_whole), scene -> scene.scene_id) as whole_scene_ids,
        datatake_hash,
        sha2(
            concat_ws(
                ' ',
                to_json(transform(scenes, scene -> struct(scene.scene_id, scene.scene_hash))),
                {{ grid_version() }}
            ),
            256
        ) as scenes_hash,
        {{ grid_version() }} as grid_version
    from placed_chips

),

-- A chip with unchanged scenes keeps its rule.
with_rule as (

    select
        planned.*,
        if(
            planned.scenes_hash <=> existing.scenes_hash and {{ rule_is_kept('planned') }},
            existing.cut_rule,
            {{ cut_rule() }}
        ) as cut_rule
    from planned
    left join existing on planned.chip_id = existing.chip_id

),

final as (

    select
        *,
        sha2(concat_ws(' ', scenes_hash, cut_rule), 256) as source_hash
    from with_rule

)

select * from final
