-- normalised_longitude: -180 to below 180.
with cases (longitude, expected) as (

    values
    (15D, 15D),
    (-180D, -180D),
    (180D, -180D),
    (180.25D, -179.75D),
    (-180.25D, 179.75D),
    (539.5D, 179.5D),
    (null, null)

),

results as (

    select
        *,
        {{ normalised_longitude('longitude') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
