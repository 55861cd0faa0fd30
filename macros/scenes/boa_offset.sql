{% macro boa_offset(relation) -%}
    case {{ boa_offset_reason(relation) }}
        when 'override' then {{ relation }}.override_offset
        when 'already applied' then 0
        when 'asset offset' then cast(round({{ relation }}.asset_offset / {{ relation }}.asset_scale) as int)
        when 'processing baseline' then -1000
        else 0
    end
{%- endmacro %}
