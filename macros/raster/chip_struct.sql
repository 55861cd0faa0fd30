{# Handed through, for joining them to the pixels afterwards would send the pixels over the network. #}
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
