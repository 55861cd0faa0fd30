{{ config(unique_key='event_id', version_columns=['event_hash']) }}

with parts as (

    select * from {{ ref('int_event_parts') }}

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
    from parts
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
