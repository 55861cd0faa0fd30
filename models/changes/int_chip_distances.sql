{%- set inputs = {'model': 'int_distance_inputs', 'key': ['chip_id', 'model_id'], 'version': 'distances_hash'} -%}

{{ config(unique_key=['chip_id', 'model_id'], inputs=inputs) }}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

embeddings as (

    select * from {{ ref('fct_chip_embeddings') }}

),

final as (

    select
        pending.chip_id,
        pending.model_id,
        {{ cosine_distance('chips.embedding', 'predecessors.embedding') }} as cosine_distance,
        {{ cosine_distance('chips.embedding', 'years_before.embedding') }} as year_before_distance,
        pending.distances_hash
    from pending
    inner join embeddings as chips
        on pending.model_id = chips.model_id and pending.chip_id = chips.chip_id
    inner join embeddings as predecessors
        on pending.model_id = predecessors.model_id and pending.predecessor.chip_id = predecessors.chip_id
    left join embeddings as years_before
        on pending.model_id = years_before.model_id and pending.year_before.chip_id = years_before.chip_id

)

select * from final
