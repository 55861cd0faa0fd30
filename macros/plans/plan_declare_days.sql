{#
    The first and the last acquisition of a plan as variables of the Spark session. Spark takes them for literals, which
    a subquery is not, so Iceberg opens only the files of these days.
#}
{% macro plan_declare_days(name) %}
    {%- set bounds = run_query(
        'select min(unix_micros(acquired_at)), max(unix_micros(acquired_at)) from ' ~ plan_view(name)
    ).rows[0] -%}
    {%- for variable in ('first_at', 'last_at') -%}
        {%- set micros = bounds[loop.index0] -%}
        {%- do run_query(
            'declare or replace variable ' ~ plan_view(name) ~ '__' ~ variable ~ ' timestamp default '
            ~ ('null' if micros is none else 'timestamp_micros(' ~ micros | int ~ ')')
        ) -%}
    {%- endfor -%}
{% endmacro %}
