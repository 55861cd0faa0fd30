{%- set inputs = {
    'model': 'int_chip_inputs', 'key': 'chip_id', 'version': 'source_hash',
    'is_costly': true, 'retry_errors': true, 'window': true
} -%}
{%- set extra = [('source_hash', 'string')] -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'cloud_distance']),
    meta={'inputs': inputs}
) }}

with pending as (

    {{ pending_inputs(inputs) }}

),

scenes as (

    select * from {{ ref('int_scenes') }}

),

-- A task is some rows of cells of a datatake in a zone, cut by one rule: it opens each COG once and walks it by block
-- rows.
cells as (

    select
        concat_ws(
            '_', datatake_id, epsg, floor(cell_row / {{ setting('chip_rows_per_task') | int }}), cut_rule
        ) as task_id,
        epsg,
        cell_row,
        {{ parse_cut_rule('cut_rule') }} as rule,
        scene_ids,
        struct(
            chip_id, {{ chip_struct('pending', extra) }} as chip, cell_col as col, scene_ids, whole_scene_ids
        ) as cell
    from pending

),

strip_scene_ids as (

    select distinct
        task_id,
        cell_row,
        explode(scene_ids) as scene_id
    from cells

),

strip_scenes as (

    select
        strip_scene_ids.task_id,
        strip_scene_ids.cell_row,
        collect_list(
            struct(scenes.scene_id, scenes.mgrs_tile, scenes.scale, scenes.boa_offset, scenes.hrefs)
        ) as scenes
    from strip_scene_ids
    inner join scenes on strip_scene_ids.scene_id = scenes.scene_id
    group by strip_scene_ids.task_id, strip_scene_ids.cell_row

),

strip_cells as (

    select
        task_id,
        epsg,
        cell_row,
        any_value(rule) as rule,
        collect_list(cell) as cells
    from cells
    group by task_id, epsg, cell_row

),

strips as ( -- noqa: ST03

    select
        strip_cells.task_id,
        strip_cells.cell_row,
        to_json(
            struct(
                strip_cells.epsg,
                strip_cells.cell_row as row,
                strip_cells.rule.bands,
                strip_cells.rule.valid_scl_classes,
                strip_scenes.scenes,
                strip_cells.cells
            )
        ) as strip
    from strip_cells
    inner join strip_scenes
        on strip_cells.task_id = strip_scenes.task_id and strip_cells.cell_row = strip_scenes.cell_row

),

extracted as (

    select
        *,
        {{ parse_chip('chip', extra) }} as parsed
    from extract_chips(table(strips) partition by task_id order by cell_row desc)

),

final as (

    select
        {{ chip_columns('parsed', extra) }},
        {{ band_columns() }},
        scl,
        cloud_distance,
        valid_fraction,
        cloud_fraction,
        nodata_fraction,
        -- The satellite saw the whole cell; clouds may still hide the ground.
        coalesce(nodata_fraction = 0, false) as is_complete,
        error
    from extracted

)

select * from final
