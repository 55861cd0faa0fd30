{#
    MGRS: zone 32 is wider in band V (western Norway), and only zones 31, 33, 35 and 37 cover band X (Svalbard). A
    border belongs to the zone east of it, the equator to the north. The longitude is floored before it is divided,
    because a division would round a place just west of a border onto the border.
#}
{% macro utm_epsg(longitude, latitude) -%}
    case when {{ latitude }} between -80 and 84 and {{ longitude }} between -180 and 180 then
        if({{ latitude }} < 0, 32700, 32600)
        + case
            when {{ latitude }} >= 56 and {{ latitude }} < 64 and {{ longitude }} >= 3 and {{ longitude }} < 12 then 32
            when {{ latitude }} >= 72 and {{ longitude }} >= 0 and {{ longitude }} < 9 then 31
            when {{ latitude }} >= 72 and {{ longitude }} >= 9 and {{ longitude }} < 21 then 33
            when {{ latitude }} >= 72 and {{ longitude }} >= 21 and {{ longitude }} < 33 then 35
            when {{ latitude }} >= 72 and {{ longitude }} >= 33 and {{ longitude }} < 42 then 37
            else int(pmod(floor(floor({{ longitude }}) / 6) + 30, 60)) + 1
        end
    end
{%- endmacro %}
