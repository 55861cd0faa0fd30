{%- set inputs = {
    'model': 'int_chip_inputs', 'key': 'chip_id', 'version': 'source_hash',
    'is_costly': true, 'retry_errors': true, 'window': true
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(band_names() + ['scl', 'cloud_distance'] + probability_layers()),
    inputs=inputs,
    plans=['pending_inputs', 'cut_homes', 'cut_plan'],
    sink='cut'
) }}

-- What is to be cut. Workers cut the chips of each strip and write them (python_udfs/sinks).
with strips as (

    -- Partitions with the most chips come first, so that no core is left with a large one at the end.
    select /*+ repartition_by_range({{ setting('shuffle_partitions') }}, task_group) */ *
    from {{ plan('cut_plan', inputs) }}

),

final as (

    select
        task_id,
        epsg,
        cell_row,
        bands,
        probabilities,
        valid_scl_classes,
        scenes,
        cells
    from strips
    sort by task_group, task_id, cell_row desc

)

select * from final
