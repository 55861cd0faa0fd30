{{ config(materialized='ephemeral') }}

-- No SQL connects the chips to embed with their embeddings: the embedding job does (models/_exposures.yml).
-- depends_on: {{ ref('int_embedding_inputs') }}

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
