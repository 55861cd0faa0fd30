{{ config(unique_key='chip_id', incremental_strategy='changed_rows', version_columns=['input_hash']) }}

with chips as (

    -- A chip that could not be read has no pixels to fill with, nor to fill.
    select *
    from {{ ref('fct_chips') }}
    where error is null

),

grid_cells as (

    select * from {{ ref('dim_grid_cells') }}

),

made as (

    select
        *,
        {{ parse_fill_rule('rule_version') }}.max_age_days as max_age_days
    from ({{ rule_rows(['chip_id', 'history_hash', 'rule_version']) }})

),

-- The chips that can decide about a filled chip: itself, and those of its cell that are not too old.
histories as (

    select
        chip_id,
        cell_id,
        acquired_at,
        unix_micros(acquired_at) as acquired_us,
        collect_list(struct(unix_micros(acquired_at) as acquired_us, chip_id, source_hash)) over (
            partition by cell_id
            order by unix_micros(acquired_at)
            range between {{ longest_fill_age_days() * 86400 * 1000000 }} preceding and current row
        ) as history
    from chips

),

described as (

    select
        histories.*,
        grid_cells.longitude,
        grid_cells.latitude,
        made.rule_version as made_rule_version,
        made.history_hash as made_history_hash,
        made.max_age_days as made_max_age_days
    from histories
    inner join grid_cells on histories.cell_id = grid_cells.cell_id
    left join made on histories.chip_id = made.chip_id

),

hashed as (

    select
        *,
        {{ fill_history_hash('history', 'acquired_us', 'made_max_age_days') }} as hash_by_its_rule,
        {{ fill_history_hash('history', 'acquired_us', setting('fill_max_age_days') | int) }} as hash_by_rule_in_force
    from described

),

-- A chip whose history is what it was keeps its rule.
judged as (

    select
        *,
        made_history_hash <=> hash_by_its_rule and {{ rule_is_kept('hashed') }} as is_rule_kept
    from hashed

),

with_rule as (

    select
        *,
        if(is_rule_kept, made_rule_version, {{ fill_rule_version() }}) as rule_version,
        if(is_rule_kept, hash_by_its_rule, hash_by_rule_in_force) as history_hash
    from judged

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
    from with_rule

)

select * from final
