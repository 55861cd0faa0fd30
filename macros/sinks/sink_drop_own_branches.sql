{# Those of attempts that failed. #}
{% macro sink_drop_own_branches() %}
    {%- for branch in sink_branches() if branch.startswith(run_branch()) -%}
        {%- do run_query('alter table ' ~ this ~ ' drop branch if exists ' ~ branch) -%}
    {%- endfor -%}
{% endmacro %}
