{#
    The columns that identify a chip and say where it comes from, as one JSON text. Table functions hand it
    through: joining them to the pixels afterwards would send the pixels over the network.
    `parse_chip` and `chip_columns` take them out again. `extra`: more columns, as [(name, type), ...].
#}
{% macro chip_struct(relation, extra) -%}
    to_json(
        struct(
            {%- for name, type in chip_fields(extra) -%}
                {%- if type == 'timestamp' -%}
                    unix_micros({{ relation }}.{{ name }}) as {{ name }}
                {%- else -%}
                    {{ relation }}.{{ name }}
                {%- endif -%}
                {{ ', ' if not loop.last }}
            {%- endfor -%}
        )
    )
{%- endmacro %}


{# Columns from the JSON text of `chip_struct`. Argument: a struct parsed by `parse_chip`. #}
{% macro chip_columns(parsed, extra) -%}
    {%- for name, type in chip_fields(extra) -%}
        {%- if type == 'timestamp' -%}
            timestamp_micros({{ parsed }}.{{ name }}) as {{ name }}
        {%- else -%}
            {{ parsed }}.{{ name }}
        {%- endif -%}
        {{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{# The JSON text of `chip_struct`, parsed into a struct. #}
{% macro parse_chip(text, extra) -%}
    from_json(
        {{ text }},
        '
        {%- for name, type in chip_fields(extra) -%}
            {{ name }} {{ 'bigint' if type == 'timestamp' else type }}{{ ', ' if not loop.last }}
        {%- endfor -%}
        '
    )
{%- endmacro %}


{# Columns that fct_chips and fct_filled_chips share, with their types. #}
{% macro chip_fields(extra) %}
    {{ return([
        ('chip_id', 'string'),
        ('cell_id', 'string'),
        ('geohash', 'string'),
        ('acquired_at', 'timestamp'),
        ('datatake_id', 'string'),
        ('platform', 'string'),
        ('item_ids', 'array<string>'),
        ('processing_baseline', 'string'),
        ('boa_offsets', 'array<int>'),
        ('grid_version', 'string'),
    ] + extra) }}
{% endmacro %}
