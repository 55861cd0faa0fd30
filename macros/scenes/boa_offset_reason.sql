{#
    The first of these decides: the user's own line (raw.boa_offset_overrides); the provider's statement that it has
    applied the offset; the offset of the assets; that of a file's header (int_item_headers); the processing baseline
    (products since 04.00 have an offset; Sen2Cor writes 99.xx where users run it, which says nothing of an offset).
#}
{% macro boa_offset_reason(relation) -%}
    case
        when {{ relation }}.override_offset is not null then 'override'
        when {{ relation }}.is_boa_offset_applied then 'already applied'
        when {{ relation }}.stated_offset is not null then 'asset offset'
        when {{ relation }}.has_header then 'file header'
        when {{ relation }}.processing_baseline >= '04.00' and not {{ is_of_user(relation ~ '.processing_baseline') }}
            then 'processing baseline'
        else 'none needed'
    end
{%- endmacro %}
