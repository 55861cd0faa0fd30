{{ config(unique_key='composite_id', version_columns=['input_hash']) }}

with chips as (

    -- A chip that could not be read has no pixels.
    select *
    from {{ ref('fct_chips') }}
    where error is null

),

filled_chips as (

    select
        chip_id,
        suspect
    from {{ ref('fct_filled_chips') }}

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

existing as (

    {{ rule_rows(['composite_id', 'period', 'chips_hash', 'rule_version']) }}

),

-- Those of the settings, and those of which the table has rows: a run with other settings removes nothing.
periods as (

    select explode({{ composite_periods() }}) as period
    union distinct
    select period from existing

),

chips_of_periods as (

    select
        chips.chip_id,
        chips.cell_id,
        chips.acquired_at,
        -- Nothing is added for a chip without suspect pixels.
        concat_ws(' ', chips.chip_id, chips.source_hash, md5(filled_chips.suspect)) as version,
        periods.period,
        {{ period_start_at('periods.period', 'chips.acquired_at') }} as period_start_at
    from chips
    left join filled_chips on chips.chip_id = filled_chips.chip_id
    cross join periods

),

composites as (

    select
        cell_id,
        period,
        period_start_at,
        concat_ws('_', cell_id, period, date_format(period_start_at, 'yyyy-MM')) as composite_id,
        {{ period_end_at('period', 'period_start_at') }} as period_end_at,
        min(acquired_at) as first_acquired_at,
        max(acquired_at) as last_acquired_at,
        array_sort(collect_list(struct(acquired_at, chip_id))) as chips,
        sha2(array_join(array_sort(collect_list(version)), ' '), 256) as chips_hash
    from chips_of_periods
    group by cell_id, period, period_start_at

),

compared as (

    select
        composites.*,
        grid_cells.longitude,
        grid_cells.latitude,
        existing.rule_version as existing_rule_version,
        existing.chips_hash as existing_chips_hash
    from composites
    inner join grid_cells on composites.cell_id = grid_cells.cell_id
    left join existing on composites.composite_id = existing.composite_id

),

-- A composite with unchanged chips keeps its rule.
with_rule as (

    select
        *,
        if(
            existing_chips_hash <=> chips_hash
            and {{ rule_is_kept('compared', 'first_acquired_at', 'last_acquired_at') }},
            existing_rule_version,
            {{ composite_rule_version() }}
        ) as rule_version
    from compared

),

final as (

    select
        -- ids
        composite_id,
        cell_id,
        period,
        period_start_at,
        period_end_at,

        -- place
        longitude,
        latitude,

        -- chips, oldest first
        chips,
        first_acquired_at,
        last_acquired_at,

        -- version
        rule_version,
        chips_hash,
        sha2(concat_ws(' ', rule_version, chips_hash), 256) as input_hash
    from with_rule

)

select * from final
