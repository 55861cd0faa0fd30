{#
    The pending chips with their home, and the row of blocks of its 20 m rasters in which the top of the chip lies. The
    home of a chip is the first scene that contains its whole cell, or else the first that touches it.
#}
{% macro cut_homes(inputs) %}
    {%- set block_row_m = 20 * (setting('raster_block_pixels') | int) -%}
    with pending as (

        select * from {{ plan('pending_inputs', inputs) }}

    ),

    scenes as (

        select * from {{ ref('int_scenes') }}

    )

    select
        pending.*,
        scenes.scene_id as home_scene_id,
        greatest(
            0, floor((scenes.utm_ymax - (pending.cell_row + 1) * {{ grid_cell_size() }}) / {{ block_row_m }})
        ) as block_row
    from pending
    inner join scenes on coalesce(get(pending.whole_scene_ids, 0), pending.scene_ids[0]) = scenes.scene_id
{% endmacro %}
