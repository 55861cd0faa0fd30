{# Floats have no digital numbers: their offset counts steps of 0.0001 reflectance. #}
{% macro boa_offset(relation) -%}
    {%- set step = 'if(' ~ relation ~ '.is_float, 0.0001D, ' ~ relation ~ '.scale)' -%}
    case {{ boa_offset_reason(relation) }}
        when 'override' then {{ relation }}.override_offset
        when 'already applied' then 0
        when 'asset offset' then cast(round({{ relation }}.stated_offset / {{ step }}) as int)
        when 'file header' then cast(round({{ relation }}.header_offset / {{ step }}) as int)
        when 'processing baseline' then -1000
        else 0
    end
{%- endmacro %}
