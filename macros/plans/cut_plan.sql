{#
    A strip is the unit of work of cutting: the pending chips of one task in one row of cells, and their scenes.

    A task cuts the chips of some rows of blocks of their home's 20 m rasters (cut_homes). Each of these rows equals two
    rows of blocks of the 10 m rasters, so a task ends where blocks of both end, and no other task decodes them.

    A chip on the border of two rows of blocks needs both, and two tasks would decode the second one. So a task has at
    least 3 rows of blocks, or a whole scene if there are scenes for all cores. Tasks are dealt to groups (task_group).
#}
{% macro cut_plan(inputs) %}
    {%- set min_block_rows = 3 -%}
    with scenes as (

        select * from {{ ref('int_scenes') }}

    ),

    homes as (

        select * from {{ plan('cut_homes', inputs) }}

    ),

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
                struct({{ chip_columns('homes') }}, homes.source_hash) as chip,
                homes.cell_col,
                homes.scene_ids,
                homes.whole_scene_ids
            ) as cell
        from homes
        cross join task_sizes

    ),

    strips as (

        select
            task_id,
            epsg,
            cell_row,
            any_value(rule) as rule,
            array_distinct(flatten(collect_list(scene_ids))) as scene_ids,
            collect_list(cell) as cells
        from cells
        group by task_id, epsg, cell_row

    ),

    strips_by_scene as (

        select
            *,
            explode(scene_ids) as scene_id
        from strips

    ),

    strips_with_scenes as (

        select
            strips_by_scene.task_id,
            strips_by_scene.epsg,
            strips_by_scene.cell_row,
            any_value(strips_by_scene.rule) as rule,
            any_value(strips_by_scene.cells) as cells,
            collect_list(
                struct(
                    scenes.scene_id,
                    scenes.mgrs_tile,
                    concat(array({{ product_struct('scenes') }}), coalesce(scenes.copies, array())) as products
                )
            ) as scenes
        from strips_by_scene
        inner join scenes on strips_by_scene.scene_id = scenes.scene_id
        group by strips_by_scene.task_id, strips_by_scene.epsg, strips_by_scene.cell_row

    ),

    task_groups as (

        select
            task_id,
            {{ task_group('count(*)', 'task_id') }} as task_group
        from cells
        group by task_id

    )

    select
        task_groups.task_group,
        strips.task_id,
        strips.epsg,
        strips.cell_row,
        strips.rule.bands,
        strips.rule.probabilities,
        strips.rule.valid_scl_classes,
        strips.scenes,
        strips.cells
    from strips_with_scenes as strips
    inner join task_groups on strips.task_id = task_groups.task_id
{% endmacro %}
