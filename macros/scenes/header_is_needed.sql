{#
    Each header is a request to a server, so headers are read only where an item does not say what its numbers mean: no
    offset is stated and no baseline of ESA's tells it; scale 1 is stated, but not whether the numbers are floats; or
    they are floats without an offset.
#}
{% macro header_is_needed(relation) -%}
    not coalesce({{ relation }}.is_boa_offset_applied, false)
    and (
        (
            {{ relation }}.asset_offset is null
            and ({{ relation }}.processing_baseline is null or {{ is_of_user(relation ~ '.processing_baseline') }})
        )
        or ({{ relation }}.asset_data_type is null and {{ has_band_scale(relation, '= 1') }})
        or ({{ relation }}.asset_data_type like 'float%' and {{ relation }}.asset_offset is null)
    )
{%- endmacro %}
