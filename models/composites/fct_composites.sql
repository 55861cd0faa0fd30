{%- set inputs = {
    'model': 'int_composite_inputs', 'key': 'composite_id', 'version': 'input_hash', 'is_costly': true,
    'window': ['first_acquired_at', 'last_acquired_at']
} -%}

{{ config(
    unique_key='composite_id',
    partition_by=['truncate(4, geohash)', 'months(period_start_at)'],
    tblproperties=chip_table_properties(band_names() + ['observations', 'source_number']),
    inputs=inputs,
    plans=['pending_inputs', 'composite_plan'],
    days_of_plan='composite_plan',
    sink='composite'
) }}

-- What is to be made, and where its pixels are. Workers read them and write composites (python_udfs/composite).
with planned as (

    select * from {{ plan('composite_plan', inputs) }}

),

chips as (

    select
        *,
        _file,
        _pos
    from {{ ref('fct_chips') }}
    where error is null {{ in_days_of_plan('composite_plan', 'acquired_at') }}

),

-- Composites leave suspect pixels out.
filled_chips as (

    select
        chip_id,
        suspect
    from {{ ref('fct_filled_chips') }}
    where true {{ in_days_of_plan('composite_plan', 'acquired_at') }}

),

members as (

    select /*+ broadcast(planned) */
        planned.task_group,
        planned.geohash_4,
        struct(
            planned.composite_id,
            chips.cell_id,
            chips.geohash,
            planned.period,
            planned.period_start_at,
            planned.period_end_at,
            chips.grid_version,
            planned.input_hash,
            planned.rule_version
        ) as composite,
        chips.chip_id,
        chips.acquired_at,
        filled_chips.suspect,
        chips._file as file,
        chips._pos as position
    from chips
    inner join planned on chips.chip_id = planned.chip_id
    left join filled_chips on chips.chip_id = filled_chips.chip_id

),

-- A worker has whole partitions of the table, so that it writes few files. The largest come first.
members_of_tasks as (

    select /*+ repartition_by_range({{ setting('shuffle_partitions') }}, task_group) */ *
    from members

),

final as (

    select
        geohash_4,
        composite,
        chip_id,
        acquired_at,
        suspect,
        file,
        position
    from members_of_tasks
    sort by task_group, geohash_4

)

select * from final
