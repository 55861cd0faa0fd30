{# A text is an id only if grid_cell_id makes the same text of its parts, so that each cell has only one id. #}
{% macro grid_cell_parts(cell_id) -%}
    {%- set parts -%}
        struct(
            {{ cell_id }} as cell_id,
            try_cast(split_part({{ cell_id }}, '_', 1) as int) as epsg,
            try_cast(split_part({{ cell_id }}, '_', 2) as int) as cell_col,
            try_cast(split_part({{ cell_id }}, '_', 3) as int) as cell_row
        )
    {%- endset -%}
    {%- set checked -%}
        if(
            {{ grid_cell_id('parts.epsg', 'parts.cell_col', 'parts.cell_row') }} = parts.cell_id
            and int(parts.epsg / 100) in (326, 327)
            and parts.epsg % 100 between 1 and 60,
            struct(parts.epsg, parts.cell_col, parts.cell_row),
            null
        )
    {%- endset -%}
    {{ bind('parts', parts, checked) }}
{%- endmacro %}
