{%- set side = patches_per_side() | int -%}

{{ config(materialized='ephemeral') }}

with cell_events as (

    select * from {{ ref('int_cell_events') }}

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

events_of_cells as (

    select
        cell_id,
        feature_kind,
        explode(events) as event
    from cell_events

),

-- Each cell finds its part of an event on its own.
parts as (

    select
        concat_ws(
            '_',
            cell_events.cell_id,
            date_format(event.first_seen_at, 'yyyyMMdd'),
            lpad(event.patches[0], 4, '0'),
            cell_events.feature_kind
        ) as part_id,
        cell_events.cell_id,
        cell_events.feature_kind,
        grid_cells.epsg,
        grid_cells.cell_col,
        grid_cells.cell_row,
        event.state,
        event.first_seen_at,
        event.provisional_at,
        event.confirmed_at,
        event.last_seen_at,
        event.ended_at,
        event.observations_for,
        event.observations_against,
        event.score,
        event.looks_like,
        event.patches,
        event.chip_id_before,
        event.chip_id_after
    from events_of_cells as cell_events
    inner join grid_cells on cell_events.cell_id = grid_cells.cell_id

),

numbered_patches as (

    select
        *,
        explode(patches) as patch
    from parts

),

-- Patches have numbers in their zone, counted east and north like cells.
patches as (

    select
        part_id,
        cell_id,
        feature_kind,
        epsg,
        first_seen_at,
        cell_col * {{ side }} + patch % {{ side }} as patch_x,
        cell_row * {{ side }} + {{ side - 1 }} - int(patch / {{ side }}) as patch_y
    from numbered_patches

),

patches_and_neighbours as (

    select
        *,
        explode(
            flatten(
                transform(
                    sequence(patch_x - 1, patch_x + 1),
                    x -> transform(sequence(patch_y - 1, patch_y + 1), y -> struct(x, y))
                )
            )
        ) as near
    from patches

),

-- Parts of one event touch across the border of two cells, and began at about the same time.
touching as (

    select distinct
        one.part_id as one,
        other.part_id as other
    from patches_and_neighbours as one
    inner join patches as other
        on
            one.feature_kind = other.feature_kind
            and one.epsg = other.epsg
            and one.near.x = other.patch_x
            and one.near.y = other.patch_y
    where
        one.cell_id < other.cell_id
        and abs({{ days_between('one.first_seen_at', 'other.first_seen_at') }}) <= {{ setting('event_join_days') }}

),

groups as (

    select inline(connected_groups(collect_list(struct(one, other)))) from touching

),

polygons as (

    select
        part_id,
        array_sort(collect_list(hex(st_asbinary({{ patch_polygon('epsg', 'patch_x', 'patch_y') }})))) as polygons
    from patches
    group by part_id

),

final as (

    select
        parts.*,
        coalesce(groups.group_id, parts.part_id) as group_id,
        polygons.polygons
    from parts
    inner join polygons on parts.part_id = polygons.part_id
    left join groups on parts.part_id = groups.member

)

select * from final
