{{ config(
    unique_key=['collection', 'item_id'],
    version_columns=['content_hash'],
    on_schema_change='sync_all_columns'
) }}

with source as (

    select * from {{ source('raw', 'stac_items') }}

),

-- A version without an update time counts as updated when the versions stored before it were: it is newer than these.
update_times as (

    select
        *,
        coalesce(
            updated_at,
            max(updated_at) over (
                partition by collection, item_id
                order by ingested_at, content_hash
                rows between unbounded preceding and current row
            )
        ) as counted_update
    from source

),

versions as (

    select
        *,
        row_number() over (
            partition by collection, item_id
            order by counted_update desc nulls last, ingested_at desc, content_hash desc
        ) as version_rank
    from update_times

),

current_versions as (

    select
        *,
        -- Offset and scale are the same for all bands of a product, or ingestion rejects it; SCL is not a band.
        {{ band_assets('versions') }} as band_assets
    from versions
    -- A deprecated item has been withdrawn by its provider.
    where version_rank = 1 and not coalesce(is_deprecated, false)

),

-- Scale 1 and offset 0 are true of reflectance as float. Elsewhere they are GDAL's defaults for a file that states
-- none, which some tools copy: they say nothing.
stated as (

    select
        *,
        filter(
            band_assets,
            asset -> not coalesce(
                asset.scale = 1
                and coalesce(asset.offset, 0) = 0
                and not coalesce(asset.data_type like 'float%', false),
                false
            )
        ) as stating_assets
    from current_versions

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
        is_boa_offset_applied,
        -- Field by field, so that a field that the source gains does not change the type of this column.
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
        array_min(transform(stating_assets, asset -> asset.offset)) as asset_offset,
        coalesce(array_max(transform(stating_assets, asset -> asset.scale)), 0.0001D) as asset_scale,
        -- In the order of the alphabet, a float type comes before integers.
        array_min(transform(band_assets, asset -> asset.data_type)) as asset_data_type,

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
    from stated

)

select * from final
