-- Every row of statistics has its filled chip. If both have the same version, it counts at most the chip's pixels.
select
    statistics.chip_id,
    statistics.band_statistics,
    filled_chips.complete_fraction
from {{ ref('fct_chip_statistics') }} as statistics
left join {{ ref('fct_filled_chips') }} as filled_chips on statistics.chip_id = filled_chips.chip_id
where
    filled_chips.chip_id is null
    or (
        statistics.input_hash = filled_chips.input_hash
        and exists(
            map_values(statistics.band_statistics), band -> band.pixel_count > 65536 * filled_chips.complete_fraction
        )
    )
