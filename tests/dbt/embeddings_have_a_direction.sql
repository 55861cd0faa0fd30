-- All numbers of an embedding are finite and not null, and at least one is not 0.
with embeddings as (

    select
        chip_id,
        model_id,
        {{ squared_norm('embedding') }} as squared_norm
    from {{ ref('fct_chip_embeddings') }}

)

select *
from embeddings
-- NaN is greater than all other numbers.
where not coalesce(squared_norm > 0 and squared_norm < double('Infinity'), false)
