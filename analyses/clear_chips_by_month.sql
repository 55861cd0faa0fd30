select
    date_trunc('month', acquired_at) as month,
    count(*) as chips,
    round(avg(cloud_fraction), 2) as cloud_fraction,
    round(avg(valid_fraction), 2) as valid_fraction
from {{ ref('fct_chips') }}
where error is null
group by date_trunc('month', acquired_at)
order by month
