-- median: the middle number, or the mean of the two in the middle; null for an empty array.
with cases (numbers, expected) as (

    values
    (cast(array() as array<double>), cast(null as double)),
    (array(3D), 3D),
    (array(3D, 1D, 20D), 3D),
    (array(40D, 1D, 3D, 2D), 2.5D)

),

results as (

    select
        *,
        {{ median('numbers') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
