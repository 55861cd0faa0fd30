{{ config(unique_key='chip_id', meta={'version': 'input_hash'}) }}

{% set max_age_days = setting('fill_max_age_days') | int %}

with chips as (

    -- A chip that could not be read has no pixels to fill with, nor to fill.
    select *
    from {{ ref('fct_chips') }}
    where error is null

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

-- The chips that can decide about a filled chip: itself, and those of its cell up to `fill_max_age_days` older.
histories as (

    select
        chip_id,
        cell_id,
        acquired_at,
        collect_list(concat_ws(' ', chip_id, source_hash)) over (
            partition by cell_id
            order by unix_micros(acquired_at)
            range between {{ max_age_days * 86400 * 1000000 }} preceding and current row
        ) as history
    from chips

),

final as (

    select
        histories.chip_id,
        histories.cell_id,
        histories.acquired_at,
        grid_cells.longitude,
        grid_cells.latitude,
        {{ fill_rule_version() }} as rule_version,
        sha2(
            concat_ws(' ', {{ fill_rule_version() }}, array_join(array_sort(histories.history), ' ')), 256
        ) as input_hash
    from histories
    inner join grid_cells on histories.cell_id = grid_cells.cell_id

)

select * from final
