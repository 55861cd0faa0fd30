{%- set side = patches_per_side() | int -%}

{{ config(unique_key='event_id', version_columns=['event_hash']) }}

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
        event.*
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

parts_of_events as (

    select
        parts.*,
        coalesce(groups.group_id, parts.part_id) as group_id,
        polygons.polygons
    from parts
    inner join polygons on parts.part_id = polygons.part_id
    left join groups on parts.part_id = groups.member

),

events as (

    select
        min_by(part_id, struct(first_seen_at, part_id)) as event_id,
        feature_kind as evidence,
        {{ event_state('state') }} as state,
        max_by(looks_like, struct(score, part_id)) as looks_like,
        array_sort(collect_set(cell_id)) as cell_ids,
        sum(size(patches)) as patches,
        min(first_seen_at) as first_seen_at,
        min(provisional_at) as provisional_at,
        min(confirmed_at) as confirmed_at,
        max(last_seen_at) as last_seen_at,
        max(ended_at) as ended_at,
        max(observations_for) as observations_for,
        max_by(observations_against, struct(observations_for, part_id)) as observations_against,
        max(score) as score,
        max_by(chip_id_before, struct(score, part_id)) as chip_id_before,
        max_by(chip_id_after, struct(score, part_id)) as chip_id_after,
        sha2(array_join(array_sort(flatten(collect_list(polygons))), ' '), 256) as polygons_hash,
        st_normalize(
            st_union(transform(array_sort(flatten(collect_list(polygons))), one -> st_geomfromwkb(unhex(one))))
        ) as geometry
    from parts_of_events
    group by group_id, feature_kind

),

final as (

    select
        -- ids
        event_id,
        evidence,
        cell_ids,

        -- place
        st_asbinary(geometry) as geometry,
        st_xmin(geometry) as xmin,
        st_ymin(geometry) as ymin,
        st_xmax(geometry) as xmax,
        st_ymax(geometry) as ymax,
        patches * {{ patch_area_ha() }} as area_ha,

        -- time and state
        state,
        first_seen_at,
        provisional_at,
        confirmed_at,
        last_seen_at,
        ended_at,

        -- reason
        looks_like,
        score,
        observations_for,
        observations_against,
        chip_id_before,
        chip_id_after,

        -- version
        {{ event_rule() }} as change_rule,
        sha2(
            to_json(
                struct(
                    cell_ids, polygons_hash, state, first_seen_at, provisional_at, confirmed_at, last_seen_at, ended_at,
                    looks_like, score, observations_for, observations_against, chip_id_before, chip_id_after,
                    {{ event_rule() }}
                )
            ),
            256
        ) as event_hash
    from events

)

select * from final
