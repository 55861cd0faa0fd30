{#
    The schema is part of the name: models of one name in two schemas may run side by side, in one session or in two,
    and Spark drops the cached rows of a view with those of a view of the same name in any session.
#}
{% macro plan_view(name) %}
    {{ return(modules.re.sub('[^A-Za-z0-9_]', '_', this.schema ~ '__' ~ this.identifier ~ '__' ~ name)) }}
{% endmacro %}
