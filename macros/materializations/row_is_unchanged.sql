{#
    A row with an error is computed again although nothing has changed: its raster may be readable now. Iceberg's
    metrics say for each file whether it has one.
#}
{% macro row_is_unchanged(target, made_from) %}
    {%- if made_from is none or setting('compare_always') -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set properties = row_table_properties(target) -%}
    {%- set is_marked = properties.get('chiplake.made-from') == made_from
        and properties.get('chiplake.made-at') == properties.get('current-snapshot-id') -%}
    {%- set inputs = config.get('inputs') or {} -%}
    {{ return(is_marked and not (
        inputs.retry_errors and row_exists('select 1 from ' ~ target ~ ' where error is not null')
    )) }}
{% endmacro %}
