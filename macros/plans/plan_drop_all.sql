{#
    Also called at the start of a run, because a failed run in the same session leaves its views. Each view is created
    before it is dropped: for a view that does not exist Spark asks the catalog, and some REST catalogs have no views.
#}
{% macro plan_drop_all() %}
    {% for name in plan_names() %}
        {% do run_query('create or replace temporary view ' ~ plan_view(name) ~ ' as select 1 as placeholder') %}
        {% do run_query('drop view ' ~ plan_view(name)) %}
    {% endfor %}
{% endmacro %}
