{{ config(unique_key='chip_id', meta={'version': 'input_hash'}) }}

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

    {{ rows_with_rules(['chip_id', 'history_hash', 'rule_version']) }}

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
        {{ fill_rule_version() }} as rule_version_in_force
    from histories
    inner join grid_cells on histories.cell_id = grid_cells.cell_id
    left join made on histories.chip_id = made.chip_id

),

-- A chip whose history is what it was keeps its rule.
with_rule as (

    select
        *,
        if(
            made_history_hash <=> {{ fill_history_hash('history', 'acquired_us', 'made_rule_version') }}
            and {{ is_rule_kept('described') }},
            made_rule_version,
            rule_version_in_force
        ) as rule_version
    from described

),

with_history as (

    select
        *,
        {{ fill_history_hash('history', 'acquired_us', 'rule_version') }} as history_hash
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
    from with_history

)

select * from final
