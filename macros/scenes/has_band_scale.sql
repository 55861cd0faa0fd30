{% macro has_band_scale(relation, condition) -%}
    coalesce(
        exists(
            map_values(map_filter({{ relation }}.assets, (layer, asset) -> layer != 'scl')),
            asset -> asset.scale {{ condition }}
        ),
        false
    )
{%- endmacro %}
