{%- set inputs = {
    'model': 'int_fill_inputs', 'key': 'chip_id', 'version': 'input_hash', 'is_costly': true, 'window': true
} -%}
{%- set extra = [
    ('cloud_fraction', 'double'), ('nodata_fraction', 'double'),
    ('input_hash', 'string'), ('rule_version', 'string')
] -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'source_index']),
    incremental_strategy='pending_inputs',
    inputs=inputs,
    plans=['pending_inputs', 'fill_plan'],
    days_of_plan='fill_plan'
) }}

with fill_inputs as (

    select * from {{ ref('int_fill_inputs') }}

),

chips as (

    select *
    from {{ ref('fct_chips') }}
    where error is null {{ in_days_of_plan('fill_plan', 'acquired_at') }}

),

plan as (

    select * from {{ plan('fill_plan', inputs) }}

),

inputs_of_plan as (

    select
        plan.chip_id,
        plan.rule_version,
        plan.role,
        fill_inputs.input_hash
    from plan
    inner join fill_inputs on plan.chip_id = fill_inputs.chip_id

),

-- Broadcast, as a join that shuffles would send the pixels over the network once more than the fold needs.
described as (

    select /*+ broadcast(inputs_of_plan) */
        chips.*,
        inputs_of_plan.input_hash,
        inputs_of_plan.rule_version,
        inputs_of_plan.role
    from chips
    inner join inputs_of_plan on chips.chip_id = inputs_of_plan.chip_id
    where inputs_of_plan.role in ('source', 'pending')

),

chips_in_order as ( -- noqa: ST03

    -- A task has whole partitions of the table, so that it writes few files.
    select
        left(geohash, 4) as geohash_4,
        cell_id,
        rule_version,
        role,
        {{ chip_struct('described', extra) }} as chip,
        chip_id,
        unix_micros(acquired_at) as acquired_us,
        {{ band_columns() }},
        scl,
        cloud_distance,
        cast(null as binary) as source_index,
        cast(null as string) as sources
    from described
    {% if is_incremental() %}
    union all
    select /*+ broadcast(plan) */
        left(filled.geohash, 4) as geohash_4,
        filled.cell_id,
        plan.rule_version,
        plan.role,
        cast(null as string) as chip,
        filled.chip_id,
        unix_micros(filled.acquired_at) as acquired_us,
        {{ band_columns('filled.') }},
        filled.scl,
        cast(null as binary) as cloud_distance,
        filled.source_index,
        to_json(
            transform(
                filled.sources,
                source -> struct(source.chip_id, unix_micros(source.acquired_at) as acquired_us)
            )
        ) as sources
    from (select * from {{ this }} where true {{ in_days_of_plan('fill_plan', 'acquired_at') }}) as filled
    inner join plan on filled.chip_id = plan.chip_id and plan.role = 'seed'
    {% endif %}

),

folded as (

    select
        layers,
        {{ parse_chip('chip', extra) }} as parsed,
        from_json(
            measures,
            '
            sources array<struct<chip_id string, acquired_us bigint>>,
            base_valid_fraction double,
            complete_fraction double,
            max_age_days double,
            mean_age_days double
            '
        ) as measured
    -- noqa: disable=LT01,LT02,LT06
    from fill_chips(
        table(chips_in_order) partition by (geohash_4) order by (cell_id, rule_version, acquired_us, chip_id)
    )
    -- noqa: enable=all

),

final as (

    select
        {{ chip_columns('parsed', extra) }},
        {% for layer in band_names() + ['scl', 'source_index'] -%}
        layers[{{ loop.index0 }}] as {{ layer }},
        {% endfor -%}
        transform(
            measured.sources, source -> struct(source.chip_id, timestamp_micros(source.acquired_us) as acquired_at)
        ) as sources,
        measured.base_valid_fraction,
        measured.complete_fraction,
        measured.max_age_days,
        measured.mean_age_days,
        measured.complete_fraction >= {{ parse_fill_rule('parsed.rule_version') }}.min_complete as is_complete,
        cast(null as string) as error
    from folded

)

select * from final
