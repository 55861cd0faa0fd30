-- Statistics are of a filled chip that is there; of one in the same version, they count no more pixels than it has.
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
