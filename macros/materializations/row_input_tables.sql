{# Schema and name of each. Models that are ephemeral have no table; what they read counts instead. #}
{% macro row_input_tables(node) %}
    {%- set tables = [] -%}
    {%- for node_id in node.depends_on.nodes -%}
        {%- set input = graph.nodes.get(node_id) or graph.sources.get(node_id) -%}
        {%- if input.resource_type == 'model' and input.config.materialized == 'ephemeral' -%}
            {%- do tables.extend(row_input_tables(input)) -%}
        {%- else -%}
            {%- do tables.append((input.schema, input.alias or input.identifier)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(tables) }}
{% endmacro %}
