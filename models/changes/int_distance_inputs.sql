{{ config(
    unique_key=['chip_id', 'model_id'],
    version_columns=['distances_hash', 'is_comparable']
) }}

{% set min_valid = setting('change_min_valid_fraction') | float %}

with embeddings as (

    select * from {{ ref('fct_chip_embeddings') }}

),

filled_chips as (

    select * from {{ ref('fct_filled_chips') }}

),

-- A chip that is mostly filled repeats its sources, so a comparison with it has no meaning.
chips as (

    select
        embeddings.chip_id,
        embeddings.model_id,
        embeddings.input_hash,
        embeddings.cell_id,
        embeddings.geohash,
        embeddings.acquired_at,
        filled_chips.base_valid_fraction,
        filled_chips.complete_fraction - filled_chips.base_valid_fraction as filled_fraction,
        filled_chips.base_valid_fraction >= {{ min_valid }} as is_observed,
        struct(
            embeddings.chip_id,
            embeddings.input_hash,
            embeddings.acquired_at,
            filled_chips.base_valid_fraction,
            filled_chips.complete_fraction - filled_chips.base_valid_fraction as filled_fraction
        ) as chip
    from embeddings
    inner join filled_chips on embeddings.chip_id = filled_chips.chip_id

),

-- The newest earlier observed chip, so that a change that happens under clouds is found at the next clear chip. If no
-- earlier chip is observed, the newest earlier one.
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
years_before as (

    select
        chips.chip_id,
        chips.model_id,
        min_by(
            candidates.chip,
            struct(
                abs(unix_micros(candidates.acquired_at) - unix_micros(chips.acquired_at - interval 1 year)),
                candidates.chip_id
            )
        ) as year_before
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

final as (

    select
        predecessors.* except (is_observed, chip),
        years_before.year_before,
        sha2(
            to_json(
                struct(
                    predecessors.input_hash,
                    predecessors.predecessor.chip_id as predecessor_chip_id,
                    predecessors.predecessor.input_hash as predecessor_input_hash,
                    years_before.year_before.chip_id as year_before_chip_id,
                    years_before.year_before.input_hash as year_before_input_hash
                )
            ),
            256
        ) as distances_hash
    from predecessors
    left join years_before
        on predecessors.chip_id = years_before.chip_id and predecessors.model_id = years_before.model_id
    where predecessors.predecessor is not null

)

select * from final
