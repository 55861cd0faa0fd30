{# The history may be longer than the rule allows: chips that are too old for it are left out. #}
{% macro fill_history_hash(history, acquired_us, history_days) -%}
    sha2(
        array_join(
            array_sort(
                transform(
                    filter(
                        {{ history }},
                        chip -> chip.acquired_us >= {{ acquired_us }} - {{ history_days }} * 86400000000
                    ),
                    chip -> concat_ws(' ', chip.chip_id, chip.source_hash)
                )
            ),
            ' '
        ),
        256
    )
{%- endmacro %}
