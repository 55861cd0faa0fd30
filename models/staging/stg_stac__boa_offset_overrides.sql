{{ config(materialized='ephemeral') }}

with source as (

    select * from {{ source('raw', 'boa_offset_overrides') }}

),

final as (

    select
        position,
        collection,
        item_id,
        start_date,
        end_date,
        boa_offset,
        note
    from source

)

select * from final
