{{ config(unique_key='scene_id', meta={'version': ['content_hash', 'scene_hash', 'boa_offset_reason']}) }}

{% set layers = band_names() + ['scl'] %}
{% set same_tile_time_us = 3 * 1000000 %}
{% set same_datastrip_us = 60 * 1000000 %}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

-- The same product in two collections is one, whichever of them states the datastrip.
products_of_items as (

    select
        *,
        max(datastrip_started_at) over (
            partition by datatake_id, mgrs_tile, coalesce(product_id, concat_ws('/', collection, item_id))
        ) as product_datastrip_started_at
    from items

),

-- Where nothing states the datastrip, the tile's own time tells: that of the item nearest in time, if seconds away.
items_with_start as (

    select
        *,
        if(
            product_datastrip_started_at is null,
            null,
            struct(unix_micros(acquired_at) as acquired_us, product_datastrip_started_at as started_at)
        ) as stated
    from products_of_items

),

items_seconds_away as (

    select
        *,
        collect_list(stated) over (
            partition by datatake_id, mgrs_tile
            order by unix_micros(acquired_at)
            range between {{ same_tile_time_us }} preceding and {{ same_tile_time_us }} following
        ) as near
    from items_with_start

),

known_starts as (

    select
        *,
        array_min(
            transform(
                near, item -> struct(abs(item.acquired_us - unix_micros(acquired_at)) as distance, item.started_at)
            )
        ).started_at as nearest_started_at
    from items_seconds_away

),

part_starts as (

    select
        *,
        coalesce(product_datastrip_started_at, nearest_started_at) is not null as is_start_known,
        coalesce(product_datastrip_started_at, nearest_started_at, acquired_at) as part_started_at
    from known_starts

),

-- A pass that was sent down in two parts gives two products of one tile, whose datastrips start minutes apart, their
-- own times seconds apart. Reprocessing leaves both where they were, give or take a second. The two are different
-- clocks, so starts of datastrips are held against each other, and times of tiles against each other.
part_breaks as (

    select
        *,
        coalesce(
            unix_micros(part_started_at) - lag(unix_micros(part_started_at)) over start_order
            > if(is_start_known, {{ same_datastrip_us }}, {{ same_tile_time_us }}),
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

-- The newest baseline of a product; the same product in two collections counts once.
ranked as (

    select
        *,
        row_number() over (
            partition by datatake_id, mgrs_tile, part
            order by processing_baseline desc nulls last, product_id desc, collection asc, item_id asc
        ) as product_rank
    from parts

),

products as (

    select
        *,
        map_filter(
            transform_values(assets, (layer, asset) -> asset.href),
            (layer, href) -> array_contains(
                split('{{ layers | join(",") }}', ','), layer
            )
        ) as hrefs,
        get(filter(map_values(assets), asset -> asset.transform is not null and asset.shape is not null), 0) as grid,
        st_envelope(
            st_transform(st_geomfromwkb(geometry), 'EPSG:4326', concat('EPSG:', epsg))
        ) as footprint_envelope
    from ranked
    where product_rank = 1

),

extents as (

    select
        *,
        -- Without a transform in the item, the footprint says where the raster may lie.
        coalesce(grid.transform[2], st_xmin(footprint_envelope)) as utm_xmin,
        coalesce(grid.transform[5] + grid.transform[4] * grid.shape[0], st_ymin(footprint_envelope)) as utm_ymin,
        coalesce(grid.transform[2] + grid.transform[0] * grid.shape[1], st_xmax(footprint_envelope)) as utm_xmax,
        coalesce(grid.transform[5], st_ymax(footprint_envelope)) as utm_ymax
    from products

),

scenes as (

    select
        concat_ws('_', datatake_id, mgrs_tile, part) as scene_id,
        collection,
        item_id,
        content_hash,
        datatake_id,
        platform,
        mgrs_tile,
        processing_baseline,
        epsg,
        cloud_cover,
        {{ boa_offset('extents') }} as boa_offset,
        {{ boa_offset_reason('extents') }} as boa_offset_reason,
        asset_scale as scale,
        hrefs,
        utm_xmin,
        utm_ymin,
        utm_xmax,
        utm_ymax,
        geometry,
        xmin,
        ymin,
        xmax,
        ymax,
        acquired_at
    from extents

),

final as (

    select
        *,
        -- All that decides about the scene's cells and chips.
        sha2(
            to_json(
                struct(
                    {{ grid_version() }} as grid_version,
                    item_id,
                    platform,
                    processing_baseline,
                    unix_micros(acquired_at) as acquired_us,
                    sha2(geometry, 256) as footprint,
                    epsg,
                    boa_offset,
                    scale,
                    utm_xmin,
                    utm_ymin,
                    utm_xmax,
                    utm_ymax,
                    array_sort(
                        transform(map_entries(hrefs), entry -> concat(entry.key, ' ', entry.value))
                    ) as addresses
                )
            ),
            256
        ) as scene_hash
    from scenes

)

select * from final
