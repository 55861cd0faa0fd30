{%- set inputs = {
    'model': 'fct_filled_chips', 'key': 'chip_id', 'version': 'input_hash', 'is_costly': true,
    'columns': ['chip_id', 'acquired_at']
} -%}

{{ config(
    unique_key='chip_id',
    partition_by=['truncate(4, geohash)', 'months(acquired_at)'],
    inputs=inputs,
    days_of_plan='pending_inputs'
) }}

{% set indices = ['ndvi', 'ndwi', 'mndwi', 'ndmi', 'nbr'] %}

with pending as (

    select chip_id
    from {{ plan('pending_inputs', inputs) }}

),

filled_chips as (

    select *
    from {{ ref('fct_filled_chips') }}
    where true {{ in_days_of_plan('pending_inputs', 'acquired_at') }}

),

-- Pixels that are still missing are 0 in every band, so only suspect ones need a mask.
pending_chips as (

    select
        filled_chips.*,
        coalesce(chip_mask(filled_chips.suspect, array(0)), chip_mask(filled_chips.scl, sequence(0, 255))) as counted,
        struct(
            filled_chips.green, filled_chips.red, filled_chips.nir, filled_chips.swir16, filled_chips.swir22
        ) as bands
    from filled_chips
    inner join pending on filled_chips.chip_id = pending.chip_id

),

final as (

    select
        -- ids
        chip_id,
        cell_id,
        geohash,
        acquired_at,

        -- shares of pixels: seen in this acquisition, and including filled ones
        base_valid_fraction,
        complete_fraction,

        -- pixels
        map_filter(
            map(
                {% for band in band_names() -%}
                '{{ band }}', chip_statistics({{ band }}, counted){{ ',' if not loop.last }}
                {% endfor -%}
            ),
            (band, statistics) -> statistics is not null
        ) as band_statistics,
        {% for index in indices -%}
        chip_index('{{ index }}', bands, counted) as {{ index }},
        {% endfor -%}
        input_hash
    from pending_chips

)

select * from final
