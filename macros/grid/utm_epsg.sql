{# MGRS: zone 32 is wider in band V (western Norway); zones 31, 33, 35, 37 alone cover band X (Svalbard). #}
{% macro utm_epsg(longitude, latitude) -%}
    case when {{ latitude }} < 0 then 32700 else 32600 end
    + case
        when {{ latitude }} >= 56 and {{ latitude }} < 64 and {{ longitude }} >= 3 and {{ longitude }} < 12 then 32
        when {{ latitude }} >= 72 and {{ longitude }} >= 0 and {{ longitude }} < 9 then 31
        when {{ latitude }} >= 72 and {{ longitude }} >= 9 and {{ longitude }} < 21 then 33
        when {{ latitude }} >= 72 and {{ longitude }} >= 21 and {{ longitude }} < 33 then 35
        when {{ latitude }} >= 72 and {{ longitude }} >= 33 and {{ longitude }} < 42 then 37
        else cast(pmod(floor(({{ longitude }} + 180) / 6), 60) as int) + 1
    end
{%- endmacro %}
