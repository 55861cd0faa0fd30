{#
    Table functions take these columns as struct `chip` and return them unchanged: joining them to the pixels afterwards
    would send the pixels over the network. python_udfs/chip_columns.py declares the same columns.
#}
{% macro chip_columns(relation) -%}
    {%- for name in [
        'chip_id', 'cell_id', 'geohash', 'acquired_at', 'datatake_id', 'platform', 'item_ids', 'processing_baseline',
        'boa_offsets', 'grid_version'
    ] -%}
        {{ relation }}.{{ name }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
