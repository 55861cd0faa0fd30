{% set max_age_days = setting('fill_max_age_days') | int %}
{% set todays_history_days = max_age_days * (2 if setting('fill_suspects') == 'peers' else 1) %}

{{ config(unique_key='chip_id', version_columns=['input_hash']) }}

with chips as (

    -- A chip that could not be read has no pixels.
    select
        *,
        unix_micros(acquired_at) as acquired_us
    from {{ ref('fct_chips') }}
    where error is null

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

existing as (

    select
        *,
        {{ fill_history_days('rule_version') }} as history_days
    from ({{ rule_rows(['chip_id', 'history_hash', 'rule_version']) }})

),

-- The chips on which a filled chip may depend: itself, and earlier ones of its cell, up to fill_history_days before.
histories as (

    select
        chip_id,
        cell_id,
        acquired_at,
        acquired_us,
        collect_list(struct(acquired_us, chip_id, source_hash)) over (
            partition by cell_id
            order by acquired_us
            range between {{ todays_history_days * 86400 * 1000000 }} preceding and current row
        ) as history
    from chips

),

-- The same for chips that were filled by a rule with a longer history than that of the current one: usually none.
longer_histories as (

    select
        chips.chip_id,
        collect_list(struct(earlier.acquired_us, earlier.chip_id, earlier.source_hash)) as history
    from existing
    inner join chips on existing.chip_id = chips.chip_id
    inner join chips as earlier
        on
            chips.cell_id = earlier.cell_id
            and chips.acquired_us >= earlier.acquired_us
            and chips.acquired_us - existing.history_days * 86400000000 <= earlier.acquired_us
    where existing.history_days > {{ todays_history_days }}
    group by chips.chip_id

),

compared as (

    select
        histories.chip_id,
        histories.cell_id,
        histories.acquired_at,
        grid_cells.longitude,
        grid_cells.latitude,
        existing.rule_version as existing_rule_version,
        existing.history_hash as existing_history_hash,
        {{ fill_history_hash(
            'coalesce(longer_histories.history, histories.history)', 'histories.acquired_us', 'existing.history_days'
        ) }} as hash_by_existing_rule,
        {{ fill_history_hash(
            'histories.history', 'histories.acquired_us', todays_history_days
        ) }} as hash_by_todays_rule
    from histories
    inner join grid_cells on histories.cell_id = grid_cells.cell_id
    left join existing on histories.chip_id = existing.chip_id
    left join longer_histories on histories.chip_id = longer_histories.chip_id

),

-- A chip with an unchanged history keeps its rule.
with_rule as (

    select
        *,
        existing_history_hash <=> hash_by_existing_rule and {{ rule_is_kept('compared') }} as keeps_rule
    from compared

),

with_hash as (

    select
        *,
        if(keeps_rule, existing_rule_version, {{ fill_rule_version() }}) as rule_version,
        if(keeps_rule, hash_by_existing_rule, hash_by_todays_rule) as history_hash
    from with_rule

),

final as (

    select
        chip_id,
        cell_id,
        acquired_at,
        longitude,
        latitude,
        rule_version,
        history_hash,
        sha2(concat_ws(' ', rule_version, history_hash), 256) as input_hash
    from with_hash

)

select * from final
