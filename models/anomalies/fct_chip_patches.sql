{%- set inputs = {
    'model': 'fct_filled_chips', 'key': 'chip_id', 'version': 'input_hash', 'is_costly': true,
    'columns': ['chip_id', 'acquired_at']
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    tblproperties=chip_table_properties(['patches']),
    inputs=inputs,
    days_of_plan='pending_inputs'
) }}

with pending as (

    select chip_id
    from {{ plan('pending_inputs', inputs) }}

),

filled_chips as (

    select *
    from {{ ref('fct_filled_chips') }}
    where true {{ in_days_of_plan('pending_inputs', 'acquired_at') }}

),

-- What the satellite saw in this acquisition: filled pixels repeat an earlier one, and suspect ones are not the ground.
patches as (

    select
        filled_chips.*,
        chip_patches(
            struct(
                {% for band in band_names() -%}
                filled_chips.{{ band }}{{ ',' if not loop.last }}
                {% endfor -%}
            ),
            filled_chips.source_index,
            filled_chips.suspect
        ) as chip
    from filled_chips
    inner join pending on filled_chips.chip_id = pending.chip_id

),

final as (

    select
        -- ids
        chip_id,
        'spectral' as feature_kind,
        cell_id,
        geohash,
        acquired_at,

        -- patches
        chip.patches,
        chip.observed_patches,
        base_valid_fraction,

        -- version
        input_hash
    from patches

)

select * from final
