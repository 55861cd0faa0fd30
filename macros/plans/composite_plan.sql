{#
    One row a composite and chip. The composites of a partition of the table (geohash_4) are made together, and dealt to
    groups (task_group). The plan reads no pixels.
#}
{% macro composite_plan(inputs) %}
    with pending as (

        select * from {{ plan('pending_inputs', inputs) }}

    ),

    located as (

        select
            pending.*,
            left(grid_cells.geohash, 4) as geohash_4
        from pending
        inner join {{ ref('dim_grid_cells') }} as grid_cells on pending.cell_id = grid_cells.cell_id

    ),

    task_groups as (

        select
            geohash_4,
            {{ task_group('sum(size(chips))', 'geohash_4') }} as task_group
        from located
        group by geohash_4

    )

    select
        task_groups.task_group,
        located.geohash_4,
        located.composite_id,
        located.period,
        located.period_start_at,
        located.period_end_at,
        located.rule_version,
        located.input_hash,
        chip.chip_id,
        chip.acquired_at
    from located
    inner join task_groups on located.geohash_4 = task_groups.geohash_4
    lateral view explode(located.chips) as chip
{% endmacro %}
