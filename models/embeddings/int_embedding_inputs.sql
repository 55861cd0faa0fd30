{{ config(unique_key='chip_id', version_columns=['input_hash']) }}

with filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

final as (

    select
        filled_chips.chip_id,
        filled_chips.input_hash,
        filled_chips.cell_id,
        filled_chips.acquired_at,
        grid_cells.longitude,
        grid_cells.latitude
    from filled_chips
    inner join grid_cells on filled_chips.cell_id = grid_cells.cell_id
    where
        filled_chips.complete_fraction >= {{ setting('embed_min_complete') | float }}
        {{ in_box('grid_cells', limit('embed_bbox')) }}

)

select * from final
