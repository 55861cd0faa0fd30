{% macro boa_offset(relation) -%}
    case {{ boa_offset_reason(relation) }}
        when 'override' then {{ relation }}.override_offset
        when 'already applied' then 0
        when 'asset offset' then cast(round({{ relation }}.asset_offset / {{ relation }}.asset_scale) as int)
        when 'processing baseline' then -1000
        else 0
    end
{%- endmacro %}


{#
    In order: the user's own word (raw.boa_offset_overrides); whether the provider says it has applied it already; the offset on the assets; the processing
    baseline (since 04.00 products carry it). Never two of them.
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
