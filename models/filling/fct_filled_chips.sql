{%- set inputs = {
    'model': 'int_fill_inputs', 'key': 'chip_id', 'version': 'input_hash', 'is_costly': true, 'window': true
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'source_index', 'suspect']),
    inputs=inputs,
    plans=['pending_inputs', 'fill_plan'],
    days_of_plan='fill_plan',
    sink='fill'
) }}

-- What is to be filled, and where its pixels are. Workers read them, fold the cells and write them (python_udfs/sinks).
with planned as (

    select * from {{ plan('fill_plan', inputs) }}

),

chips as (

    select
        *,
        _file,
        _pos
    from {{ ref('fct_chips') }}
    where error is null {{ in_days_of_plan('fill_plan', 'acquired_at') }}

),

steps as (

    select /*+ broadcast(planned) */
        planned.task_group,
        planned.geohash_4,
        chips.cell_id,
        planned.rule_version,
        planned.role,
        chips.chip_id,
        chips.acquired_at,
        planned.suspect,
        chips._file as file,
        chips._pos as position,
        if(
            planned.role = 'pending',
            struct(
                {{ chip_columns('chips') }},
                chips.cloud_fraction,
                chips.nodata_fraction,
                planned.input_hash,
                planned.rule_version
            ),
            null
        ) as chip
    from chips
    inner join planned on chips.chip_id = planned.chip_id

),

-- A worker has whole partitions of the table, so that it writes few files. The largest come first.
steps_of_tasks as (

    select /*+ repartition_by_range({{ setting('shuffle_partitions') }}, task_group) */ *
    from steps

),

final as (

    select
        geohash_4,
        cell_id,
        rule_version,
        role,
        chip_id,
        acquired_at,
        suspect,
        file,
        position,
        chip
    from steps_of_tasks
    sort by task_group, geohash_4

)

select * from final
