-- A cell's id, its centre and its box agree, and its geohash is that of the centre, eight letters long.
with cells as (

    select
        *,
        split(cell_id, '_') as id_parts,
        st_transform(st_point(longitude, latitude), 'EPSG:4326', concat('EPSG:', epsg)) as utm_centre,
        st_geomfromgeohash(geohash, 8) as geohash_box
    from {{ ref('dim_grid_cells') }}

)

select
    cell_id,
    geohash,
    longitude,
    latitude
from cells
where
    id_parts != array(string(epsg), string(cell_col), string(cell_row))
    or {{ grid_cell_id('epsg', 'cell_col', 'cell_row') }} != cell_id
    or abs(st_x(utm_centre) - (cell_col + 0.5D) * {{ grid_cell_size() }}) > 0.01D
    or abs(st_y(utm_centre) - (cell_row + 0.5D) * {{ grid_cell_size() }}) > 0.01D
    or longitude not between xmin and xmax
    or latitude not between ymin and ymax
    or length(geohash) != 8
    or not st_intersects(geohash_box, st_point(longitude, latitude))
