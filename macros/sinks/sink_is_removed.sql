{% macro sink_is_removed(kind, new_rows) %}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- if kind == 'all' -%}
        true
    {%- elif kind == 'replaced' -%}
        exists (select 1 from {{ new_rows }} as new_rows where {{ row_matches(keys, 'new_rows', 'target') }})
    {%- else -%}
        {{ row_is_obsolete(config.get('inputs'), keys) }}
    {%- endif -%}
{% endmacro %}
