{{ config(
    unique_key='scene_id',
    version_columns=['content_hash', 'scene_hash', 'boa_offset_reason', 'copies_hash']
) }}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

parts as (

    select * from {{ ref('int_scene_parts') }}

),

radiometry as (

    select * from {{ ref('int_item_radiometry') }}

),

rasters as (

    select * from {{ ref('int_item_rasters') }}

),

products as (

    select
        items.*,
        parts.scene_id,
        radiometry.boa_offset,
        radiometry.boa_offset_reason,
        radiometry.scale,
        radiometry.is_scale_stated,
        radiometry.data_type,
        radiometry.nodata,
        rasters.hrefs,
        rasters.utm_xmin,
        rasters.utm_ymin,
        rasters.utm_xmax,
        rasters.utm_ymax,
        {{ is_of_user('items.processing_baseline') }} as is_of_user,
        size(
            array_intersect(
                map_keys(rasters.hrefs),
                array(
                    {%- for band in cut_bands() %}
                    '{{ band }}'{{ ',' if not loop.last }}
                    {%- endfor %}
                )
            )
        ) as band_count
    from items
    inner join parts on items.collection = parts.collection and items.item_id = parts.item_id
    inner join radiometry on items.collection = radiometry.collection and items.item_id = radiometry.item_id
    inner join rasters on items.collection = rasters.collection and items.item_id = rasters.item_id

),

-- The scene is the product that has most of the bands to cut, and of these the newest baseline; a user's own run of
-- Sen2Cor comes last. The same product in two collections counts once; the second is a copy, which is read if the first
-- cannot be.
ranked as (

    select
        *,
        row_number() over (
            partition by scene_id
            order by
                is_of_user asc,
                band_count desc,
                processing_baseline desc nulls last,
                product_id desc,
                collection asc,
                item_id asc
        ) as product_rank,
        collect_list({{ product_struct('products') }}) over (
            partition by scene_id, product_id
            order by band_count desc, collection asc, item_id asc
            rows between 1 following and unbounded following
        ) as later_copies
    from products

),

scenes as (

    select
        scene_id,
        collection,
        item_id,
        content_hash,
        datatake_id,
        platform,
        mgrs_tile,
        processing_baseline,
        epsg,
        cloud_cover,
        boa_offset,
        boa_offset_reason,
        scale,
        is_scale_stated,
        data_type,
        nodata,
        hrefs,
        -- Without a product's name nothing says that the pixels are the same; a copy must have all the bands.
        case
            when product_id is not null
                then filter(
                    later_copies, copy -> size(
                        filter(
                            array_except(map_keys(hrefs), map_keys(copy.hrefs)),
                            layer -> not {{ is_probability('layer') }}
                        )
                    ) = 0
                )
        end as copies,
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
    from ranked
    where product_rank = 1

),

final as (

    select
        *,
        {{ scene_hash('scenes') }} as scene_hash,
        case when size(copies) > 0 then sha2(to_json(copies), 256) end as copies_hash
    from scenes

)

select * from final
