{{ config(materialized='ephemeral') }}

{% set same_time_us = 3 * 1000000 %}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

-- The same product in two collections is one product, even if only one of them states the datastrip.
products as (

    select
        *,
        max(datastrip_started_at) over (
            partition by datatake_id, mgrs_tile, coalesce(product_id, concat_ws('/', collection, item_id))
        ) as product_started_at
    from items

),

-- If no item of a product states the datastrip, the item nearest in time gives it, if its tile time is seconds away.
items_seconds_away as (

    select
        *,
        collect_list(
            if(
                product_started_at is null,
                null,
                struct(unix_micros(acquired_at) as acquired_us, product_started_at as started_at)
            )
        ) over (
            partition by datatake_id, mgrs_tile
            order by unix_micros(acquired_at)
            range between {{ same_time_us }} preceding and {{ same_time_us }} following
        ) as neighbours
    from products

),

part_starts as (

    select
        *,
        coalesce(
            product_started_at,
            array_min(
                transform(
                    neighbours,
                    item -> struct(abs(item.acquired_us - unix_micros(acquired_at)) as distance, item.started_at)
                )
            ).started_at
        ) as datastrip_start,
        datastrip_start is not null as is_start_known,
        coalesce(datastrip_start, acquired_at) as part_started_at
    from items_seconds_away

),

-- A pass that was downlinked in two parts gives two products of one tile. Their datastrips start seconds to minutes
-- apart, their tile times are seconds apart. Reprocessing moves neither by more than a second. The two times come from
-- different clocks, so datastrip starts are compared only with each other, and tile times only with each other.
part_breaks as (

    select
        *,
        coalesce(
            unix_micros(part_started_at) - lag(unix_micros(part_started_at)) over start_order > {{ same_time_us }},
            false
        ) as is_next_part
    from part_starts
    window start_order as (
        partition by datatake_id, mgrs_tile, is_start_known order by part_started_at, collection, item_id
    )

),

parts_of_clock as (

    select
        *,
        sum(int(is_next_part)) over (
            partition by datatake_id, mgrs_tile, is_start_known order by part_started_at, collection, item_id
        ) as part_of_clock
    from part_breaks

),

parts as (

    select
        *,
        dense_rank() over (
            partition by datatake_id, mgrs_tile order by not is_start_known, part_of_clock
        ) - 1 as part
    from parts_of_clock

),

final as (

    select
        collection,
        item_id,
        datatake_id,
        mgrs_tile,
        part,
        concat_ws('_', datatake_id, mgrs_tile, part) as scene_id
    from parts

)

select * from final
