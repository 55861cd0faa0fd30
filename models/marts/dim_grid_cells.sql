{{ config(unique_key='cell_id', meta={'version': 'grid_version'}) }}

with scene_cells as (

    select distinct
        cell_id,
        epsg,
        cell_col,
        cell_row
    from {{ ref('int_scene_cells') }}

),

shapes as (

    select
        *,
        {{ grid_cell_polygon('epsg', 'cell_col', 'cell_row') }} as polygon,
        {{ grid_cell_centre('epsg', 'cell_col', 'cell_row') }} as centre
    from scene_cells

),

final as (

    select
        cell_id,
        epsg,
        cell_col,
        cell_row,
        {{ grid_geohash('centre') }} as geohash,
        st_x(centre) as longitude,
        st_y(centre) as latitude,
        {{ utm_epsg('st_x(centre)', 'st_y(centre)') }} = epsg as is_primary,
        st_asbinary(polygon) as geometry,
        st_xmin(polygon) as xmin,
        st_ymin(polygon) as ymin,
        st_xmax(polygon) as xmax,
        st_ymax(polygon) as ymax,
        {{ grid_version() }} as grid_version
    from shapes

)

select * from final
