{{ config(unique_key='acquired_on') }}

with chips as (

    select * from {{ ref('fct_chips') }}

),

filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

embeddings as (

    select * from {{ ref('fct_chip_embeddings') }}

),

changes as (

    select * from {{ ref('fct_chip_changes') }}

),

change_events as (

    select * from {{ ref('fct_change_events') }}

),

cut as (

    select
        to_date(acquired_at) as acquired_on,
        count(*) as chips,
        count_if(error is not null) as chips_unreadable,
        {{ exact_mean('valid_fraction') }} as valid_fraction
    from chips
    group by to_date(acquired_at)

),

filled as (

    select
        to_date(acquired_at) as acquired_on,
        count(*) as chips_filled,
        count_if(is_complete) as chips_complete,
        {{ exact_mean('complete_fraction') }} as complete_fraction,
        {{ exact_mean('suspect_fraction') }} as suspect_fraction,
        {{ exact_mean('mean_age_days') }} as mean_age_days,
        max(max_age_days) as max_age_days
    from filled_chips
    group by to_date(acquired_at)

),

embedded as (

    select
        to_date(acquired_at) as acquired_on,
        count(distinct chip_id) as chips_embedded
    from embeddings
    group by to_date(acquired_at)

),

compared as (

    select
        to_date(acquired_at) as acquired_on,
        count(*) as pairs_compared,
        count_if(is_comparable) as pairs_comparable,
        count_if(is_change) as changes
    from changes
    group by to_date(acquired_at)

),

seen_again as (

    select
        to_date(provisional_at) as acquired_on,
        count(*) as events
    from change_events
    where provisional_at is not null
    group by to_date(provisional_at)

),

final as (

    select
        cut.acquired_on,

        -- chips as acquired
        cut.chips,
        cut.chips_unreadable,
        cut.chips_unreadable / cut.chips as unreadable_fraction,
        cut.valid_fraction,

        -- filled chips
        coalesce(filled.chips_filled, 0) as chips_filled,
        coalesce(filled.chips_complete, 0) as chips_complete,
        filled.complete_fraction,
        filled.suspect_fraction,
        filled.mean_age_days,
        filled.max_age_days,

        -- embeddings and changes
        coalesce(embedded.chips_embedded, 0) as chips_embedded,
        coalesce(embedded.chips_embedded / filled.chips_filled, 0) as embedded_fraction,
        coalesce(compared.pairs_compared, 0) as pairs_compared,
        coalesce(compared.pairs_comparable, 0) as pairs_comparable,
        coalesce(compared.changes, 0) as changes,
        coalesce(seen_again.events, 0) as events
    from cut
    left join filled on cut.acquired_on = filled.acquired_on
    left join embedded on cut.acquired_on = embedded.acquired_on
    left join compared on cut.acquired_on = compared.acquired_on
    left join seen_again on cut.acquired_on = seen_again.acquired_on

)

select * from final
