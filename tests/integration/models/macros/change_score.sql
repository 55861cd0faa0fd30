-- change_score: robust standard deviations above the median, each at least a quarter of it; null without any spread.
with cases (distance, history_median, history_mad, expected) as (

    values
    (0.5D, 0.1D, 0.1D, 2.697963D),  -- 0.4 / (1.4826 * 0.1)
    (0.2D, 0.1D, 0D, 4D),           -- 0.1 / (0.25 * 0.1)
    (0.05D, 0.1D, 0D, -2D),
    (0.1D, 0.1D, 0.1D, 0D),
    (0.5D, 0D, 0D, null),
    (null, 0.1D, 0.1D, null)

),

results as (

    select
        *,
        {{ change_score('distance', 'history_median', 'history_mad') }} as actual
    from cases

)

select *
from results
where not round(actual, 6) <=> expected
