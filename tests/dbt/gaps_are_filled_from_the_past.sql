-- The sources of a filled chip are earlier chips of its cell, newest first, at most its rule's `max_age_days` older.
-- The test covers filled chips that are up to date: a run limited to a window does not update the others.
with sources as (

    select
        filled_chips.chip_id,
        filled_chips.cell_id,
        filled_chips.acquired_at,
        filled_chips.rule_version,
        posexplode(filled_chips.sources) as (position, source)
    from {{ ref('fct_filled_chips') }} as filled_chips
    inner join {{ ref('int_fill_inputs') }} as inputs
        on filled_chips.chip_id = inputs.chip_id and filled_chips.input_hash = inputs.input_hash

),

chips as (

    select
        chip_id,
        cell_id,
        acquired_at
    from {{ ref('fct_chips') }}
    where error is null

),

described as (

    select
        sources.*,
        chips.cell_id as source_cell_id,
        chips.acquired_at as source_acquired_at,
        lag(sources.source.acquired_at) over (
            partition by sources.chip_id order by sources.position
        ) as previous_acquired_at
    from sources
    left join chips on sources.source.chip_id = chips.chip_id

)

select *
from described
where
    not source_cell_id <=> cell_id
    or not source.acquired_at <=> source_acquired_at
    or source.acquired_at >= acquired_at
    or {{ days_between('source.acquired_at', 'acquired_at') }} > {{ parse_fill_rule('rule_version') }}.max_age_days
    or source.acquired_at > previous_acquired_at
