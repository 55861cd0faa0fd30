-- days_between: days with their fraction; negative if the first time is the later one.
with cases (earlier, later, expected) as (

    values
    (timestamp('2023-01-01 00:00:00'), timestamp('2023-01-02 12:00:00'), 1.5D),
    (timestamp('2023-02-28 06:00:00'), timestamp('2023-03-01 00:00:00'), 0.75D),
    (timestamp('2023-01-02 00:00:00'), timestamp('2023-01-01 00:00:00'), -1D)

),

results as (

    select
        *,
        {{ days_between('earlier', 'later') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
