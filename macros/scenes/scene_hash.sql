{#
    Of everything that a scene's cells and chips depend on. What is null is not in the JSON, so that scenes that state
    nothing unusual keep their hash. Probabilities are not in it, so that chips that are cut without them keep theirs.
#}
{% macro scene_hash(scenes) -%}
    sha2(
        to_json(
            struct(
                {{ grid_version() }} as grid_version,
                {{ scenes }}.item_id,
                {{ scenes }}.platform,
                {{ scenes }}.processing_baseline,
                unix_micros({{ scenes }}.acquired_at) as acquired_us,
                sha2({{ scenes }}.geometry, 256) as footprint,
                {{ scenes }}.epsg,
                {{ scenes }}.boa_offset,
                {{ scenes }}.scale,
                {{ scenes }}.utm_xmin,
                {{ scenes }}.utm_ymin,
                {{ scenes }}.utm_xmax,
                {{ scenes }}.utm_ymax,
                array_sort(
                    transform(
                        filter(map_entries({{ scenes }}.hrefs), entry -> not {{ is_probability('entry.key') }}),
                        entry -> concat(entry.key, ' ', entry.value)
                    )
                ) as addresses,
                nullif({{ scenes }}.data_type, 'uint16') as data_type,
                nullif(
                    array_sort(
                        transform(
                            filter(
                                map_entries({{ scenes }}.nodata),
                                entry -> entry.value != 0 and not {{ is_probability('entry.key') }}
                            ),
                            entry -> concat(entry.key, ' ', entry.value)
                        )
                    ),
                    cast(array() as array<string>)
                ) as nodata
            )
        ),
        256
    )
{%- endmacro %}
