{#
    Replaces dbt-spark's macro, which stores a view in the catalog: all clients would share its name, a catalog without
    views refuses it, and a select of it cannot call session functions.
#}
{% macro spark_build_snapshot_staging_table(strategy, sql, target_relation) %}
    {%- set staging = make_temp_relation(target_relation, '__dbt_tmp').incorporate(type='view') -%}
    {% call statement('build_snapshot_staging_relation') %}
        {{ create_temporary_view(staging, snapshot_staging_table(strategy, sql, target_relation)) }}
    {% endcall %}
    {{ return(staging) }}
{% endmacro %}
