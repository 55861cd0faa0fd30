-- A chip's id consists of its cell and datatake, and its geohash, which partitions the tables of chips, is its cell's.
with chips as (

    select
        chip_id,
        cell_id,
        datatake_id,
        geohash
    from {{ ref('fct_chips') }}
    union all
    select
        chip_id,
        cell_id,
        datatake_id,
        geohash
    from {{ ref('fct_filled_chips') }}

)

select chips.*
from chips
left join {{ ref('dim_grid_cells') }} as grid_cells on chips.cell_id = grid_cells.cell_id
where
    chips.chip_id != concat(chips.cell_id, '_', chips.datatake_id)
    or not chips.geohash <=> grid_cells.geohash
