{#
    In a run, the view that the materialization has made of the plan. Elsewhere (compile, show, unit tests, lint) the
    plan's own SQL, so that the model's compiled SQL is complete and nothing is asked of the lake while it is compiled.
#}
{% macro plan(name, inputs) %}
    {{ return(plan_view(name) if plan_is_made() else '(' ~ context[name](inputs) ~ ')') }}
{% endmacro %}
