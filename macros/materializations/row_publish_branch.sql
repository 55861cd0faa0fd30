{# Iceberg refuses this if another writer has moved main since the branch was opened. #}
{% macro row_publish_branch(table) %}
    {% do run_query(
        "call system.fast_forward(table => '" ~ table.schema ~ '.' ~ table.identifier
        ~ "', branch => 'main', to => '" ~ run_branch() ~ "')"
    ) %}
    {% do run_query('alter table ' ~ table ~ ' drop branch ' ~ run_branch()) %}
{% endmacro %}
