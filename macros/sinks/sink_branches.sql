{# dbt reads a text of digits as a number, and the ids of snapshots are too long for some. #}
{% macro sink_branches() %}
    {%- set heads = {} -%}
    {%- for row in run_query(
        "select name, concat('id ', snapshot_id) from " ~ this ~ ".refs where type = 'BRANCH'"
    ).rows -%}
        {%- do heads.update({row[0]: row[1][3:]}) -%}
    {%- endfor -%}
    {{ return(heads) }}
{% endmacro %}
