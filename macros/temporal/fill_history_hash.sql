{# A rule that reaches back further sees more of the chips. #}
{% macro fill_history_hash(history, acquired_us, max_age_days) -%}
    sha2(
        array_join(
            array_sort(
                transform(
                    filter(
                        {{ history }},
                        chip -> chip.acquired_us >= {{ acquired_us }} - {{ max_age_days }} * 86400000000
                    ),
                    chip -> concat_ws(' ', chip.chip_id, chip.source_hash)
                )
            ),
            ' '
        ),
        256
    )
{%- endmacro %}


{# Of the rule of today's settings, and of the rules that filled chips were made by. #}
{% macro longest_fill_age_days() %}
    {%- set in_force = setting('fill_max_age_days') | int -%}
    {%- if execute and is_incremental() -%}
        {%- set longest = 'max(' ~ parse_fill_rule('rule_version') ~ '.max_age_days)' -%}
        {%- set kept = run_query('select ' ~ longest ~ ' from ' ~ this).rows[0][0] -%}
        {{ return([in_force, (kept or 0) | int] | max) }}
    {%- endif -%}
    {{ return(in_force) }}
{% endmacro %}
