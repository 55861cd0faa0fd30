{#
    A failed run in the same session leaves its view. It is created before it is dropped: for a view that does not exist
    Spark asks the catalog, and some REST catalogs have no views.
#}
{% macro plan_drop(name) %}
    {% do run_query('create or replace temporary view ' ~ plan_view(name) ~ ' as select 1 as placeholder') %}
    {% do run_query('drop view ' ~ plan_view(name)) %}
{% endmacro %}
