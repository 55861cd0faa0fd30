{#
    In order: the user's own line (raw.boa_offset_overrides); the provider states that it has applied the offset; the
    offset of the assets; the processing baseline (products since 04.00 carry an offset). Never two of them.
#}
{% macro boa_offset_reason(relation) -%}
    case
        when {{ relation }}.override_offset is not null then 'override'
        when {{ relation }}.is_boa_offset_applied then 'already applied'
        when {{ relation }}.asset_offset is not null then 'asset offset'
        when {{ relation }}.processing_baseline >= '04.00' then 'processing baseline'
        else 'none needed'
    end
{%- endmacro %}
