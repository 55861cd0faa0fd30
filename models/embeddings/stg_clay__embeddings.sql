{{ config(materialized='ephemeral') }}

with source as (

    select * from {{ source('raw', 'clay_embeddings') }}

),

final as (

    select
        chip_id,
        model_id,
        input_hash,
        embedding,
        error,
        run_id,
        embedded_at
    from source

)

select * from final
