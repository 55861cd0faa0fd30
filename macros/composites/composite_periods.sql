{% macro composite_periods() -%}
    cast(
        array(
            {%- for period in setting('composite_periods') -%}
            {{ text_literal(period) }}{{ ', ' if not loop.last }}
            {%- endfor -%}
        ) as array<string>
    )
{%- endmacro %}
