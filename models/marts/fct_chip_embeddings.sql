{{ config(unique_key=['chip_id', 'model_id'], meta={'version': 'input_hash'}) }}

with embeddings as (

    select *
    from {{ source('raw', 'clay_embeddings') }}
    where error is null

),

filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

-- An embedding counts while the chip is still what the model saw.
final as (

    select
        embeddings.chip_id,
        embeddings.model_id,
        embeddings.input_hash,
        filled_chips.cell_id,
        filled_chips.geohash,
        filled_chips.acquired_at,
        embeddings.embedding,
        size(embeddings.embedding) as dimension,
        embeddings.model_id not like 'clay-seeded-%' as is_trained,
        embeddings.embedded_at
    from embeddings
    inner join filled_chips
        on embeddings.chip_id = filled_chips.chip_id and embeddings.input_hash = filled_chips.input_hash

)

select * from final
