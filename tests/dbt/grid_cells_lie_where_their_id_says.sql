-- A cell's id, centre, polygon, box and geohash agree. If its zone owns its centre, it is the centre's primary cell.
with cells as (

    select
        *,
        {{ grid_cell_parts('cell_id') }} as parts,
        -- Independent of the macros. It is wrong by centimetres near the border of a zone.
        st_transform(st_point(longitude, latitude), 'EPSG:4326', concat('EPSG:', epsg)) as utm_centre,
        st_geomfromgeohash(geohash, 8) as geohash_box,
        {{ utm_epsg('longitude', 'latitude') }} <=> epsg as owns_centre
    from {{ ref('dim_grid_cells') }}

)

select
    cell_id,
    geohash,
    longitude,
    latitude
from cells
where
    not parts <=> struct(epsg, cell_col, cell_row)
    or abs(st_x(utm_centre) - (cell_col + 0.5D) * {{ grid_cell_size() }}) > 0.1D
    or abs(st_y(utm_centre) - (cell_row + 0.5D) * {{ grid_cell_size() }}) > 0.1D
    or latitude not between ymin and ymax
    or not if(xmin <= xmax, longitude between xmin and xmax, longitude >= xmin or longitude <= xmax)
    or length(geohash) != 8
    or not st_intersects(geohash_box, st_point(longitude, latitude))
    or not st_intersects(st_geomfromwkb(geometry), st_point(longitude, latitude))
    or (owns_centre and not is_primary)
    or (owns_centre and {{ grid_primary_cell_id('longitude', 'latitude') }} != cell_id)
