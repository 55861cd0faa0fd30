{% macro composite_periods() -%}
    array(
        {%- for period in setting('composite_periods') -%}
        {{ text_literal(period) }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}
