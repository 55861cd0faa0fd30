{{ config(materialized='ephemeral') }}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

headers as (

    select * from {{ ref('int_item_headers') }}

),

overrides as (

    select * from {{ ref('stg_stac__boa_offset_overrides') }}

),

-- The most specific line of the user's file: for the item, else for its collection, else for its day. Of two lines for
-- the same item or collection, the one with days counts; of equally specific lines, the last one in the file.
overridden as (

    select
        items.collection,
        items.item_id,
        max_by(
            overrides.boa_offset,
            struct(
                overrides.item_id is not null,
                overrides.collection is not null,
                overrides.start_date is not null or overrides.end_date is not null,
                overrides.position
            )
        ) as override_offset
    from items
    inner join overrides
        on
            coalesce(overrides.item_id, items.item_id) = items.item_id
            and coalesce(overrides.collection, items.collection) = items.collection
            and coalesce(overrides.start_date <= date(items.acquired_at), true)
            and coalesce(overrides.end_date >= date(items.acquired_at), true)
    group by items.collection, items.item_id

),

described as (

    select
        items.*,
        overridden.override_offset,
        headers.scale as header_scale,
        headers.offset as header_offset,
        coalesce(headers.scale != 1 or headers.offset != 0, false) as has_header,
        coalesce(items.asset_data_type, headers.data_type) as data_type,
        coalesce(coalesce(items.asset_data_type, headers.data_type) like 'float%', false) as is_float,
        {{ has_band_scale('items', '= 1') }} as has_scale_of_one,
        {{ has_band_scale('items', '!= 1') }} as has_other_scale
    from items
    left join overridden
        on items.collection = overridden.collection and items.item_id = overridden.item_id
    left join headers
        on
            items.collection = headers.collection
            and items.item_id = headers.item_id
            and items.content_hash = headers.content_hash

),

-- Scale 1 is a statement about floats, and GDAL's default beside integers.
stated as (

    select
        *,
        case
            when asset_offset is not null then asset_offset
            when is_float and has_scale_of_one then 0D
        end as stated_offset,
        case
            when has_other_scale then asset_scale
            when is_float and has_scale_of_one then 1D
            when has_header then header_scale
            when is_float then 1D
            else 0.0001D
        end as scale
    from described

),

final as (

    select
        collection,
        item_id,
        override_offset,
        {{ boa_offset('stated') }} as boa_offset,
        {{ boa_offset_reason('stated') }} as boa_offset_reason,
        scale,
        has_header or has_other_scale or (is_float and has_scale_of_one) as is_scale_stated,
        data_type,
        map_filter(
            transform_values(assets, (layer, asset) -> asset.nodata), (layer, nodata) -> nodata is not null
        ) as nodata
    from stated

)

select * from final
