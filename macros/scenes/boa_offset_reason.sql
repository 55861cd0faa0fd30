{#
    The first of these decides: the user's own line (raw.boa_offset_overrides); the provider's statement that it has
    applied the offset; the offset of the assets; the processing baseline (ESA's products since 04.00 have an offset).
#}
{% macro boa_offset_reason(relation) -%}
    case
        when {{ relation }}.override_offset is not null then 'override'
        when {{ relation }}.is_boa_offset_applied then 'already applied'
        when {{ relation }}.asset_offset is not null then 'asset offset'
        when
            {{ relation }}.processing_baseline >= '04.00' and not {{ is_of_user(relation ~ '.processing_baseline') }}
            then 'processing baseline'
        else 'none needed'
    end
{%- endmacro %}
