{%- set inputs = {
    'model': 'int_chip_inputs', 'key': 'chip_id', 'version': 'source_hash',
    'is_costly': true, 'retry_errors': true, 'window': true
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'cloud_distance']),
    inputs=inputs,
    plans=['pending_inputs', 'cut_plan']
) }}

with strips as ( -- noqa: ST03

    -- Two tasks in one partition run one after the other. With many partitions, most of them empty, this is rare.
    select /*+ repartition({{ 8 * (setting('shuffle_partitions') | int) }}, task_id) */ *
    from {{ plan('cut_plan', inputs) }}

),

extracted as (

    select *
    from extract_chips(table(strips) partition by task_id order by cell_row desc)

),

final as (

    select
        {{ chip_columns('chip') }},
        chip.source_hash,
        {{ band_columns('layers.') }},
        layers.scl,
        layers.cloud_distance,
        measures.valid_fraction,
        measures.cloud_fraction,
        measures.nodata_fraction,
        -- The satellite saw the whole cell; clouds may still hide the ground.
        coalesce(measures.nodata_fraction = 0, false) as is_complete,
        error
    from extracted

)

select * from final
