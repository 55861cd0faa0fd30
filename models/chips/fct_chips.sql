{%- set inputs = {
    'model': 'int_chip_inputs', 'key': 'chip_id', 'version': 'source_hash',
    'is_costly': true, 'retry_errors': true, 'window': true
} -%}
{%- set extra = [('source_hash', 'string')] -%}

{%- set block_row_m = 20 * (setting('raster_block_pixels') | int) -%}
{%- set min_block_rows = 3 -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'cloud_distance']),
    incremental_strategy='pending_inputs',
    inputs=inputs
) }}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

scenes as (

    select * from {{ ref('int_scenes') }}

),

-- A chip is cut by the task of its home: the first scene in which the cell lies whole, or that touches it. A row of
-- blocks of the home's 20 m rasters is two of its 10 m rasters, so tasks end where blocks of either do.
homes as (

    select
        pending.*,
        scenes.scene_id as home_scene_id,
        greatest(
            0, floor((scenes.utm_ymax - (pending.cell_row + 1) * {{ grid_cell_size() }}) / {{ block_row_m }})
        ) as block_row
    from pending
    inner join scenes on coalesce(get(pending.whole_scene_ids, 0), pending.scene_ids[0]) = scenes.scene_id

),

-- Where there is much to do, a task takes a whole scene: chips that lie in two rows of blocks have both decoded, and
-- in two tasks twice.
task_sizes as (

    select
        greatest(
            {{ min_block_rows }},
            ceil(count(distinct home_scene_id, block_row) / {{ setting('shuffle_partitions') | int }})
        ) as block_rows
    from homes

),

cells as (

    select
        concat_ws(
            '_', homes.home_scene_id, floor(homes.block_row / task_sizes.block_rows), homes.cut_rule
        ) as task_id,
        homes.epsg,
        homes.cell_row,
        {{ parse_cut_rule('homes.cut_rule') }} as rule,
        homes.scene_ids,
        struct(
            homes.chip_id,
            {{ chip_struct('homes', extra) }} as chip,
            homes.cell_col as col,
            homes.scene_ids,
            homes.whole_scene_ids
        ) as cell
    from homes
    cross join task_sizes

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

    -- Many partitions, most of them empty, or tasks that share one by chance would wait for each other.
    select /*+ repartition({{ 8 * (setting('shuffle_partitions') | int) }}, task_id) */
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
