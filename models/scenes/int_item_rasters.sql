{{ config(materialized='ephemeral') }}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

rasters as (

    select
        collection,
        item_id,
        map_filter(
            transform_values(assets, (layer, asset) -> asset.href),
            (layer, href) -> layer in (
                {%- for layer in band_names() + ['scl'] + probability_layers() %}
                '{{ layer }}'{{ ',' if not loop.last }}
                {%- endfor %}
            )
        ) as hrefs,
        get(filter(map_values(assets), asset -> asset.transform is not null and asset.shape is not null), 0) as grid,
        st_envelope(
            st_transform(st_geomfromwkb(geometry), 'EPSG:4326', concat('EPSG:', epsg))
        ) as footprint_envelope
    from items

),

final as (

    select
        collection,
        item_id,
        hrefs,
        -- Without a transform in the item, the footprint bounds the raster.
        coalesce(grid.transform[2], st_xmin(footprint_envelope)) as utm_xmin,
        coalesce(grid.transform[5] + grid.transform[4] * grid.shape[0], st_ymin(footprint_envelope)) as utm_ymin,
        coalesce(grid.transform[2] + grid.transform[0] * grid.shape[1], st_xmax(footprint_envelope)) as utm_xmax,
        coalesce(grid.transform[5], st_ymax(footprint_envelope)) as utm_ymax
    from rasters

)

select * from final
