{{ config(unique_key=['chip_id', 'model_id'], incremental_strategy='changed_rows', version_columns=['pair_hash']) }}

{% set min_valid = setting('change_min_valid_fraction') | float %}
{% set history = setting('change_history') | int %}

with embeddings as (

    select * from {{ ref('fct_chip_embeddings') }}

),

filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

-- A chip that is mostly fill repeats its sources: nothing can be learnt from comparing it.
chips as (

    select
        embeddings.chip_id,
        embeddings.model_id,
        embeddings.input_hash,
        filled_chips.cell_id,
        filled_chips.geohash,
        filled_chips.acquired_at,
        filled_chips.base_valid_fraction,
        filled_chips.complete_fraction - filled_chips.base_valid_fraction as filled_fraction,
        filled_chips.base_valid_fraction >= {{ min_valid }} as is_observed,
        struct(
            embeddings.chip_id,
            embeddings.input_hash,
            filled_chips.acquired_at,
            filled_chips.base_valid_fraction,
            filled_chips.complete_fraction - filled_chips.base_valid_fraction as filled_fraction
        ) as chip
    from embeddings
    inner join filled_chips on embeddings.chip_id = filled_chips.chip_id

),

-- The predecessor is the newest earlier chip that was itself observed well enough; so a change that first shows
-- behind clouds is not lost to the cloudy chip. Where there is none, the newest earlier chip.
predecessors as (

    select
        *,
        coalesce(
            last_value(if(is_observed, chip, null), true) over earlier,
            last_value(chip) over earlier
        ) as predecessor,
        is_observed and coalesce(max(is_observed) over earlier, false) as is_comparable
    from chips
    window earlier as (
        partition by cell_id, model_id
        order by acquired_at, chip_id
        rows between unbounded preceding and 1 preceding
    )

),

-- The observed chip nearest to the same day a year before.
year_before as (

    select
        chips.chip_id,
        chips.model_id,
        min_by(
            candidates.chip,
            struct(
                abs(unix_micros(candidates.acquired_at) - unix_micros(chips.acquired_at - interval 1 year)),
                candidates.chip_id
            )
        ) as chip
    from chips
    inner join chips as candidates
        on
            chips.cell_id = candidates.cell_id
            and chips.model_id = candidates.model_id
            and candidates.is_observed
            and abs(datediff(candidates.acquired_at, chips.acquired_at - interval 1 year))
            <= {{ setting('change_year_window_days') | int }}
    group by chips.chip_id, chips.model_id

),

pairs as (

    select
        predecessors.* except (chip),
        year_before.chip as year_before,
        if(
            predecessors.is_comparable,
            struct(
                predecessors.chip_id,
                predecessors.input_hash,
                predecessors.predecessor.chip_id as predecessor_chip_id,
                predecessors.predecessor.input_hash as predecessor_input_hash
            ),
            null
        ) as comparable_pair
    from predecessors
    left join year_before
        on predecessors.chip_id = year_before.chip_id and predecessors.model_id = year_before.model_id
    where predecessors.predecessor is not null

),

-- The comparable ones among the cell's last pairs, against which a distance is judged.
histories as (

    select
        *,
        collect_list(comparable_pair) over (
            partition by cell_id, model_id
            order by acquired_at, chip_id
            rows between {{ history }} preceding and 1 preceding
        ) as history
    from pairs

),

final as (

    select
        chip_id,
        model_id,
        cell_id,
        geohash,
        acquired_at,
        base_valid_fraction,
        filled_fraction,
        predecessor,
        year_before,
        is_comparable,
        history,
        sha2(
            to_json(
                struct(
                    input_hash,
                    predecessor,
                    year_before,
                    is_comparable,
                    history,
                    {{ setting('change_min_history') | int }} as min_history,
                    {{ setting('change_min_distance') | float }} as min_distance,
                    {{ setting('change_min_score') | float }} as min_score
                )
            ),
            256
        ) as pair_hash
    from histories

)

select * from final
