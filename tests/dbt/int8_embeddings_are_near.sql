-- An int8 embedding has a scale, and a cosine distance of at most 0.001 to the embedding that it approximates.
with embeddings as (

    select
        chip_id,
        model_id,
        embedding_scale,
        embedding_int8,
        {{ cosine_distance('embedding', dequantised('embedding_int8', 'embedding_scale')) }} as cosine_distance
    from {{ ref('fct_chip_embeddings') }}
    where embedding_int8 is not null or embedding_scale is not null

)

select
    chip_id,
    model_id,
    embedding_scale,
    cosine_distance
from embeddings
where not coalesce(cosine_distance <= 0.001D, false)
