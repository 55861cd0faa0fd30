-- cosine_distance: 0 if alike, 1 at a right angle, 2 if opposite, for any lengths; null for a vector of length 0.
with cases (first, second, expected) as (

    values
    (array(1, 0), array(5, 0), 0D),
    (array(1, 0), array(0, 2), 1D),
    (array(1, 0), array(-2, 0), 2D),
    (array(3, 4), array(4, 3), 0.04D),  -- 1 - 24 / (5 * 5)
    (array(0, 0), array(1, 0), null),
    (null, array(1, 0), null)

),

results as (

    select
        *,
        {{ cosine_distance('first', 'second') }} as actual
    from cases

)

select *
from results
where not round(actual, 12) <=> expected
