with fields as (

    select
        *,
        st_geomfromtext(wkt) as geometry
    from {{ ref('example_fields') }}

),

cells as (

    select
        *,
        st_geomfromwkb(geometry) as square
    from {{ ref('dim_grid_cells') }}
    where is_primary

),

statistics as (

    select * from {{ ref('fct_chip_statistics') }}

),

-- A field may lie in several cells.
cells_of_fields as (

    select
        fields.field_id,
        fields.crop,
        cells.cell_id
    from fields
    inner join cells on st_intersects(fields.geometry, cells.square)

),

final as (

    select
        cells_of_fields.field_id,
        cells_of_fields.crop,
        statistics.acquired_at,
        count(*) as chips,
        avg(statistics.ndvi) as ndvi
    from cells_of_fields
    inner join statistics on cells_of_fields.cell_id = statistics.cell_id
    group by cells_of_fields.field_id, cells_of_fields.crop, statistics.acquired_at

)

select * from final
