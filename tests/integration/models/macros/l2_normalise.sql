-- l2_normalise: a vector of length 1 in the same direction, for any length; null for a vector of length 0.
with cases (embedding, expected) as (

    values
    (array(3, 4), array(0.6D, 0.8D)),
    (array(0, -5, 0), array(0D, -1D, 0D)),
    (array(1, 1, 1, 1), array(0.5D, 0.5D, 0.5D, 0.5D)),
    (array(3E30, 4E30), array(0.6D, 0.8D)),
    (array(0, 0), null),
    (null, null)

),

results as (

    select
        *,
        {{ l2_normalise('embedding') }} as actual
    from cases

)

select *
from results
where not transform(actual, number -> round(number, 12)) <=> expected
