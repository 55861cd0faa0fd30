-- embedding_int8: the largest number becomes 127 or -127, halves round to even; null for null, zeros for zeros.
with cases (embedding, expected_scale, expected) as (

    values
    (array(254F, -127F, 1F, 3F, 0F), 2F, array(127Y, -64Y, 0Y, 2Y, 0Y)),
    (array(0.5F, -127F), 1F, array(0Y, -127Y)),
    (array(0F, 0F), 0F, array(0Y, 0Y)),
    (array(1.4E-45F, -7E-45F), 0F, array(0Y, 0Y)),
    (cast(null as array<float>), cast(null as float), cast(null as array<tinyint>))

),

scaled as (

    select
        *,
        {{ embedding_scale('embedding') }} as scale
    from cases

),

results as (

    select
        *,
        {{ embedding_int8('embedding', 'scale') }} as actual
    from scaled

)

select *
from results
where not (actual <=> expected and scale <=> expected_scale)
