{% macro band_assets(relation) -%}
    map_values(
        map_filter({{ relation }}.assets, (layer, asset) -> layer != 'scl' and not {{ is_probability('layer') }})
    )
{%- endmacro %}
