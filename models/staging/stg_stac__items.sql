{{ config(unique_key=['collection', 'item_id'], meta={'version': ['content_hash', 'override_offset']}) }}

with source as (

    select * from {{ source('raw', 'stac_items') }}

),

overrides as (

    select * from {{ source('raw', 'boa_offset_overrides') }}

),

versions as (

    select
        *,
        row_number() over (
            partition by collection, item_id
            order by updated_at desc nulls last, ingested_at desc, content_hash desc
        ) as version_rank
    from source

),

current_versions as (

    select
        *,
        -- Offset and scale are the same for all bands of a product, or ingestion rejects it; SCL is no band.
        map_values(map_filter(assets, (layer, asset) -> layer != 'scl')) as band_assets
    from versions
    where version_rank = 1

),

-- The most specific of the user's offsets: for the item, else for its collection, else for its day, and of two for the
-- same item or collection the one with days; of equals the last in the file.
overridden_items as (

    select
        newest.collection,
        newest.item_id,
        max_by(
            overrides.boa_offset,
            struct(
                overrides.item_id is not null,
                overrides.collection is not null,
                overrides.start_date is not null or overrides.end_date is not null,
                overrides.position
            )
        ) as override_offset
    from current_versions as newest
    inner join overrides
        on
            coalesce(overrides.item_id, newest.item_id) = newest.item_id
            and coalesce(overrides.collection, newest.collection) = newest.collection
            and coalesce(overrides.start_date <= date(newest.acquired_at), true)
            and coalesce(overrides.end_date >= date(newest.acquired_at), true)
    group by newest.collection, newest.item_id

),

items as (

    select
        current_versions.*,
        overridden_items.override_offset
    from current_versions
    left join overridden_items
        on
            current_versions.collection = overridden_items.collection
            and current_versions.item_id = overridden_items.item_id

),

final as (

    select
        -- ids
        collection,
        item_id,
        content_hash,
        product_id,
        datatake_id,

        -- what was observed
        platform,
        mgrs_tile,
        processing_baseline,
        relative_orbit,
        epsg,
        cloud_cover,
        nodata_percent,

        -- rasters
        override_offset,
        is_boa_offset_applied,
        -- Field by field: one that the source gains must not become part of a table that is there already.
        transform_values(
            assets,
            (layer, asset) -> named_struct(
                'href', asset.href,
                'media_type', asset.media_type,
                'asset_key', asset.asset_key,
                'gsd', asset.gsd,
                'scale', asset.scale,
                'offset', asset.offset,
                'nodata', asset.nodata,
                'transform', asset.transform,
                'shape', asset.shape
            )
        ) as assets,
        array_min(transform(band_assets, asset -> asset.offset)) as asset_offset,
        coalesce(array_max(transform(band_assets, asset -> asset.scale)), 0.0001D) as asset_scale,

        -- place
        geometry,
        xmin,
        ymin,
        xmax,
        ymax,

        -- times
        acquired_at,
        datastrip_started_at,
        updated_at,
        ingested_at
    from items

)

select * from final
