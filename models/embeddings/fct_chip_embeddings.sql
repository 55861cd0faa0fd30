{#-
    embedding_scale is a version column because a change of setting embed_int8 must write rows again; missing_fraction
    is one because rows of a release without this column must be written again.
-#}
{{ config(
    unique_key=['chip_id', 'model_id'],
    version_columns=['input_hash', 'embedding_scale', 'missing_fraction']
) }}

with embeddings as (

    select
        *,
        {{ embedding_scale('embedding') if wants_int8() else 'cast(null as float)' }} as embedding_scale
    from {{ ref('stg_clay__embeddings') }}
    where error is null

),

filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

-- An embedding counts while the chip still has the content that the model saw.
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
        {{ is_trained('embeddings.model_id') }} as is_trained,
        embeddings.embedded_at,
        {{ embedding_int8('embeddings.embedding', 'embeddings.embedding_scale') }} as embedding_int8,
        embeddings.embedding_scale,
        1 - filled_chips.complete_fraction as missing_fraction
    from embeddings
    inner join filled_chips
        on embeddings.chip_id = filled_chips.chip_id and embeddings.input_hash = filled_chips.input_hash

)

select * from final
