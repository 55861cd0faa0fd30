{# history_count is compared because release 0.1.0 wrote -1 for no earlier pair. -#}
{{ config(unique_key=['chip_id', 'model_id'], version_columns=['pair_hash', 'history_count']) }}

{% set min_history = setting('change_min_history') | int %}
{% set min_distance = setting('change_min_distance') | float %}
{% set min_score = setting('change_min_score') | float %}

with pairs as (

    select * from {{ ref('int_distance_inputs') }}

),

distances as (

    select * from {{ ref('int_chip_distances') }}

),

compared as (

    select
        pairs.*,
        distances.cosine_distance,
        distances.year_before_distance
    from pairs
    inner join distances
        on
            pairs.chip_id = distances.chip_id
            and pairs.model_id = distances.model_id
            and pairs.distances_hash = distances.distances_hash

),

-- The comparable pairs among the cell's last ones; the score compares a distance with theirs.
histories as (

    select
        *,
        collect_list(
            if(
                is_comparable,
                struct(
                    chip_id,
                    input_hash,
                    predecessor.chip_id as predecessor_chip_id,
                    predecessor.input_hash as predecessor_input_hash
                ),
                null
            )
        ) over last_pairs as history,
        collect_list(if(is_comparable, cosine_distance, null)) over last_pairs as distances
    from compared
    window last_pairs as (
        partition by cell_id, model_id
        order by acquired_at, chip_id
        rows between {{ setting('change_history') | int }} preceding and 1 preceding
    )

),

medians as (

    select
        *,
        {{ median('distances') }} as history_median
    from histories

),

spreads as (

    select
        *,
        {{ median('transform(distances, distance -> abs(distance - history_median))') }} as history_mad
    from medians

),

scored as (

    select
        *,
        size(distances) as history_count,
        if(
            size(distances) >= {{ min_history }},
            {{ change_score('cosine_distance', 'history_median', 'history_mad') }},
            null
        ) as change_score
    from spreads

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
        sha2(
            to_json(
                struct(
                    input_hash,
                    predecessor,
                    year_before,
                    is_comparable,
                    history,
                    {{ min_history }} as min_history,
                    {{ min_distance }} as min_distance,
                    {{ min_score }} as min_score
                )
            ),
            256
        ) as pair_hash
    from scored

)

select * from final
