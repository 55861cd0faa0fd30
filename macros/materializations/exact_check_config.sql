{# Configuration that dbt-spark's `incremental` follows and exact_incremental cannot is refused, never ignored. #}
{% macro exact_check_config() %}
    {%- set problems = [] -%}
    {%- if not config.get('unique_key') -%}
        {%- do problems.append("it needs unique_key, the columns that make a row unique") -%}
    {%- endif -%}
    {%- if config.get('file_format') != 'iceberg' -%}
        {%- do problems.append("it needs file_format='iceberg'") -%}
    {%- endif -%}
    {%- for key in [
        'incremental_strategy', 'incremental_predicates', 'predicates', 'merge_update_columns', 'merge_exclude_columns',
        'grants'
    ] if config.get(key) -%}
        {%- do problems.append("it has no " ~ key ~ ", which is for materialized='incremental'") -%}
    {%- endfor -%}
    {%- if 'macro.dbt.is_incremental' in model.depends_on.macros -%}
        {%- do problems.append(
            "is_incremental() is always false in it: select all rows that the table should have, or write "
            ~ "materialized='incremental'"
        ) -%}
    {%- endif -%}
    {%- for key in ['plans', 'days_of_plan', 'sink'] if config.get(key) and not config.get('inputs') -%}
        {%- do problems.append(key ~ " needs inputs") -%}
    {%- endfor -%}
    {%- if config.get('version_columns') and config.get('inputs') -%}
        {%- do problems.append("inputs name their own version, so version_columns has no meaning") -%}
    {%- endif -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('exact_incremental: ' ~ problems | join('; ')) }}
    {%- endif -%}
{% endmacro %}
