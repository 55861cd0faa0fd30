{%- set inputs = {
    'model': 'int_fill_inputs', 'key': 'chip_id', 'version': 'input_hash', 'is_costly': true, 'window': true
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'source_index']),
    inputs=inputs,
    plans=['pending_inputs', 'fill_plan'],
    days_of_plan='fill_plan'
) }}

with planned as (

    select * from {{ plan('fill_plan', inputs) }}

),

chips as (

    select *
    from {{ ref('fct_chips') }}
    where error is null {{ in_days_of_plan('fill_plan', 'acquired_at') }}

),

-- The plan is broadcast: a join with a shuffle would send the pixels over the network once more than the fold needs.
planned_chips as (

    select /*+ broadcast(planned) */
        chips.*,
        planned.input_hash,
        planned.rule_version,
        planned.role
    from chips
    inner join planned on chips.chip_id = planned.chip_id
    where planned.role in ('source', 'pending')

),

chips_in_order as ( -- noqa: ST03

    -- A task has whole partitions of the table, so that it writes few files.
    select
        left(geohash, 4) as geohash_4,
        cell_id,
        rule_version,
        role,
        struct(
            {{ chip_columns('planned_chips') }}, cloud_fraction, nodata_fraction, input_hash, rule_version
        ) as chip,
        chip_id,
        acquired_at,
        {{ band_columns() }},
        scl,
        cloud_distance,
        cast(null as binary) as source_index,
        cast(null as array<struct<chip_id: string, acquired_at: timestamp>>) as sources
    from planned_chips
    {% if updates_table() %}
    union all
    select /*+ broadcast(planned) */
        left(filled.geohash, 4) as geohash_4,
        filled.cell_id,
        planned.rule_version,
        planned.role,
        null as chip,
        filled.chip_id,
        filled.acquired_at,
        {{ band_columns('filled.') }},
        filled.scl,
        null as cloud_distance,
        filled.source_index,
        filled.sources
    from (select * from {{ this }} where true {{ in_days_of_plan('fill_plan', 'acquired_at') }}) as filled
    inner join planned on filled.chip_id = planned.chip_id and planned.role = 'seed'
    {% endif %}

),

folded as (

    select *
    -- noqa: disable=LT01,LT02,LT06
    from fill_chips(
        table(chips_in_order) partition by (geohash_4) order by (cell_id, rule_version, acquired_at, chip_id)
    )
    -- noqa: enable=all

),

final as (

    select
        {{ chip_columns('chip') }},
        chip.cloud_fraction,
        chip.nodata_fraction,
        chip.input_hash,
        chip.rule_version,
        {{ band_columns('layers.') }},
        layers.scl,
        layers.source_index,
        measures.sources,
        measures.base_valid_fraction,
        measures.complete_fraction,
        measures.max_age_days,
        measures.mean_age_days,
        measures.complete_fraction >= {{ parse_fill_rule('chip.rule_version') }}.min_complete as is_complete,
        cast(null as string) as error
    from folded

)

select * from final
