{% macro has_band_scale(relation, condition) -%}
    coalesce(exists({{ band_assets(relation) }}, asset -> asset.scale {{ condition }}), false)
{%- endmacro %}
