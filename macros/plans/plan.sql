{#
    In a run, this is the view that the materialization has made of the plan. Elsewhere (compile, show, unit tests,
    lint) it is the plan's own SQL, so that compiled SQL is complete and compiling does not query the lake.
#}
{% macro plan(name, inputs) %}
    {{ return(plan_view(name) if plan_is_made() else '(' ~ context[name](inputs) ~ ')') }}
{% endmacro %}
