{%- set inputs = {
    'model': 'int_chip_pairs', 'key': ['chip_id', 'model_id'], 'version': 'pair_hash', 'is_costly': true
} -%}

{{ config(unique_key=['chip_id', 'model_id'], incremental_strategy='pending_inputs', inputs=inputs) }}

{% set min_history = setting('change_min_history') | int %}
{% set min_distance = setting('change_min_distance') | float %}
{% set min_score = setting('change_min_score') | float %}

with pending as (

    select * from {{ plan('pending_inputs', inputs) }}

),

embeddings as (

    select * from {{ ref('fct_chip_embeddings') }}

),

histories as (

    select
        chip_id,
        model_id,
        explode(history) as earlier
    from pending

),

-- Every comparison that is needed, once: with the predecessor, with the year before, and those of the history.
comparisons as (

    select
        model_id,
        chip_id,
        predecessor.chip_id as other_chip_id
    from pending
    union
    select
        model_id,
        chip_id,
        year_before.chip_id as other_chip_id
    from pending
    where year_before is not null
    union
    select
        model_id,
        earlier.chip_id,
        earlier.predecessor_chip_id as other_chip_id
    from histories

),

distances as (

    select
        comparisons.*,
        {{ cosine_distance('chips.embedding', 'others.embedding') }} as cosine_distance
    from comparisons
    inner join embeddings as chips
        on comparisons.model_id = chips.model_id and comparisons.chip_id = chips.chip_id
    inner join embeddings as others
        on comparisons.model_id = others.model_id and comparisons.other_chip_id = others.chip_id

),

earlier_distances as (

    select
        histories.chip_id,
        histories.model_id,
        collect_list(distances.cosine_distance) as numbers
    from histories
    inner join distances
        on
            histories.model_id = distances.model_id
            and histories.earlier.chip_id = distances.chip_id
            and histories.earlier.predecessor_chip_id = distances.other_chip_id
    group by histories.chip_id, histories.model_id

),

medians as (

    select
        *,
        {{ median('numbers') }} as history_median
    from earlier_distances

),

spreads as (

    select
        *,
        {{ median('transform(numbers, number -> abs(number - history_median))') }} as history_mad
    from medians

),

compared as (

    select
        pending.*,
        to_predecessor.cosine_distance,
        to_year_before.cosine_distance as year_before_distance,
        coalesce(size(spreads.numbers), 0) as history_count,
        spreads.history_median,
        spreads.history_mad,
        if(
            size(spreads.numbers) >= {{ min_history }},
            {{ change_score('to_predecessor.cosine_distance', 'spreads.history_median', 'spreads.history_mad') }},
            null
        ) as change_score
    from pending
    inner join distances as to_predecessor
        on
            pending.model_id = to_predecessor.model_id
            and pending.chip_id = to_predecessor.chip_id
            and pending.predecessor.chip_id = to_predecessor.other_chip_id
    left join distances as to_year_before
        on
            pending.model_id = to_year_before.model_id
            and pending.chip_id = to_year_before.chip_id
            and pending.year_before.chip_id = to_year_before.other_chip_id
    left join spreads
        on pending.model_id = spreads.model_id and pending.chip_id = spreads.chip_id

),

final as (

    select
        -- ids
        chip_id,
        model_id,
        cell_id,
        geohash,
        acquired_at,

        -- against the predecessor
        predecessor.chip_id as predecessor_chip_id,
        {{ days_between('predecessor.acquired_at', 'acquired_at') }} as days_between,
        cosine_distance,

        -- against the same season a year before
        year_before.chip_id as year_before_chip_id,
        {{ days_between('year_before.acquired_at', 'acquired_at') }} as year_before_days_between,
        year_before_distance,

        -- quality of the pair
        base_valid_fraction,
        filled_fraction,
        predecessor.base_valid_fraction as predecessor_base_valid_fraction,
        predecessor.filled_fraction as predecessor_filled_fraction,
        is_comparable,

        -- verdict
        history_count,
        history_median,
        history_mad,
        change_score,
        is_comparable
        and cosine_distance >= {{ min_distance }}
        and coalesce(change_score >= {{ min_score }}, false) as is_change,
        pair_hash
    from compared

)

select * from final
