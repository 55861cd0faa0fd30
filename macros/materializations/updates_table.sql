{# dbt's own is_incremental() is true only for materialized='incremental'. #}
{% macro updates_table() %}
    {%- if not execute or model.config.materialized != 'exact_incremental' or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set existing = load_relation(this) -%}
    {{ return(existing is not none and not existing.is_view) }}
{% endmacro %}
