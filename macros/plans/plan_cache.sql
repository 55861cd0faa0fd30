{#
    Computes a select once, into a view over cached rows on the executors' disks. No table of the lake is written, so a
    killed run leaves nothing behind.

    A failed run in the same session may have left the view. It is created before it is dropped: for a view that does
    not exist Spark asks the catalog, and some REST catalogs have no views.
#}
{% macro plan_cache(name, sql) %}
    {% do run_query('create or replace temporary view ' ~ plan_view(name) ~ ' as select 1 as placeholder') %}
    {% do plan_drop(name) %}
    {% do run_query('cache table ' ~ plan_view(name) ~ " options ('storageLevel' 'DISK_ONLY') as " ~ sql) %}
{% endmacro %}
