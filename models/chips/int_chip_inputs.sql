{% set inputs = {'model': 'int_datatakes', 'key': ['datatake_id', 'epsg'], 'version': 'datatake_hash'} %}

{{ config(unique_key='chip_id', meta={'inputs': inputs}) }}

with datatakes as (

    {{ pending_inputs(inputs) }}
    {% if recompute() and keeps_rules(['cut_rule']) %}
    union distinct
    select inputs.*
    from {{ ref(inputs.model) }} as inputs
    left semi join {{ this }} as done
        on
            inputs.datatake_id = done.datatake_id
            and inputs.epsg = done.epsg
            and done.cut_rule != {{ cut_rule() }}
            {{ in_window('done') }}
    {% endif %}

),

made as (

    {{ rows_with_rules(['chip_id', 'scenes_hash', 'cut_rule']) }}

),

scenes as (

    select * from {{ ref('int_scenes') }}

),

scene_cells as (

    select * from {{ ref('int_scene_cells') }}

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

-- One acquisition, one chip: tiles of a datatake that overlap and the parts of a split pass are its scenes.
chips as (

    select
        scene_cells.cell_id,
        scenes.datatake_id,
        any_value(datatakes.datatake_hash) as datatake_hash,
        any_value(scenes.epsg) as epsg,
        any_value(scenes.platform) as platform,
        min(scenes.acquired_at) as acquired_at,
        max(scenes.processing_baseline) as processing_baseline,
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

planned as (

    select
        concat_ws('_', chips.cell_id, chips.datatake_id) as chip_id,
        chips.cell_id,
        chips.datatake_id,
        chips.epsg,
        grid_cells.cell_col,
        grid_cells.cell_row,
        grid_cells.geohash,
        grid_cells.longitude,
        grid_cells.latitude,
        chips.platform,
        chips.acquired_at,
        chips.processing_baseline,
        transform(chips.scenes, scene -> scene.item_id) as item_ids,
        transform(chips.scenes, scene -> scene.boa_offset) as boa_offsets,
        transform(chips.scenes, scene -> scene.scene_id) as scene_ids,
        transform(filter(chips.scenes, scene -> scene.is_whole), scene -> scene.scene_id) as whole_scene_ids,
        chips.datatake_hash,
        sha2(
            concat_ws(
                ' ',
                to_json(transform(chips.scenes, scene -> struct(scene.scene_id, scene.scene_hash))),
                {{ grid_version() }}
            ),
            256
        ) as scenes_hash,
        {{ grid_version() }} as grid_version
    from chips
    inner join grid_cells on chips.cell_id = grid_cells.cell_id

),

-- A chip of the scenes that it had keeps its rule.
with_rule as (

    select
        planned.*,
        if(
            planned.scenes_hash <=> made.scenes_hash and {{ is_rule_kept('planned') }},
            made.cut_rule,
            {{ cut_rule() }}
        ) as cut_rule
    from planned
    left join made on planned.chip_id = made.chip_id

),

final as (

    select
        *,
        sha2(concat_ws(' ', scenes_hash, cut_rule), 256) as source_hash
    from with_rule

)

select * from final
