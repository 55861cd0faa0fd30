{{ config(
    unique_key='scene_id',
    version_columns=['content_hash', 'scene_hash', 'boa_offset_reason']
) }}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

parts as (

    select * from {{ ref('int_scene_parts') }}

),

offsets as (

    select * from {{ ref('int_item_offsets') }}

),

rasters as (

    select * from {{ ref('int_item_rasters') }}

),

-- The newest official baseline of a product; the same product in two collections counts once.
ranked as (

    select
        items.*,
        parts.scene_id,
        row_number() over (
            partition by parts.scene_id
            order by
                {{ is_of_user('items.processing_baseline') }} asc,
                items.processing_baseline desc nulls last,
                items.product_id desc,
                items.collection asc,
                items.item_id asc
        ) as product_rank
    from items
    inner join parts on items.collection = parts.collection and items.item_id = parts.item_id

),

scenes as (

    select
        ranked.scene_id,
        ranked.collection,
        ranked.item_id,
        ranked.content_hash,
        ranked.datatake_id,
        ranked.platform,
        ranked.mgrs_tile,
        ranked.processing_baseline,
        ranked.epsg,
        ranked.cloud_cover,
        offsets.boa_offset,
        offsets.boa_offset_reason,
        rasters.scale,
        rasters.hrefs,
        rasters.utm_xmin,
        rasters.utm_ymin,
        rasters.utm_xmax,
        rasters.utm_ymax,
        ranked.geometry,
        ranked.xmin,
        ranked.ymin,
        ranked.xmax,
        ranked.ymax,
        ranked.acquired_at
    from ranked
    inner join offsets on ranked.collection = offsets.collection and ranked.item_id = offsets.item_id
    inner join rasters on ranked.collection = rasters.collection and ranked.item_id = rasters.item_id
    where ranked.product_rank = 1

),

final as (

    select
        *,
        -- Everything that the scene's cells and chips depend on.
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
