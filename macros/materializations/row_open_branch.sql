{# `chiplake maintain` removes the branch if the run ends before it publishes it. #}
{% macro row_open_branch(table) %}
    {% do run_query('alter table ' ~ table ~ ' create or replace branch ' ~ run_branch()) %}
    {{ return(table ~ '.branch_' ~ run_branch()) }}
{% endmacro %}
