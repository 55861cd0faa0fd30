{{ config(unique_key='cell_id', version_columns=['grid_version']) }}

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
        {{ grid_cell_corners('epsg', 'cell_col', 'cell_row') }} as corners,
        {{ grid_cell_centre('epsg', 'cell_col', 'cell_row') }} as centre
    from scene_cells

),

boxes as (

    select
        *,
        array_min(transform(corners, corner -> corner.longitude)) as west,
        array_max(transform(corners, corner -> corner.longitude)) as east,
        array_min(transform(corners, corner -> corner.latitude)) as south,
        array_max(transform(corners, corner -> corner.latitude)) as north
    from shapes

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
        {{ grid_cell_is_primary('epsg', 'corners') }} as is_primary,
        st_asbinary({{ grid_cell_polygon('corners') }}) as geometry,
        {{ normalised_longitude('west') }} as xmin,
        south as ymin,
        {{ normalised_longitude('east') }} as xmax,
        north as ymax,
        {{ grid_version() }} as grid_version
    from boxes

)

select * from final
