-- All embeddings of a model have the same number of dimensions.
select
    model_id,
    min(dimension) as smallest,
    max(dimension) as largest
from {{ ref('fct_chip_embeddings') }}
group by model_id
having min(dimension) != max(dimension)
