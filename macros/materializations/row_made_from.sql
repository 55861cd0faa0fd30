{#
    A digest of everything that decides a model's table: the project's code, the model's configuration and columns, its
    SQL and that of its plans, and the snapshot and columns of each table that it reads. None if this is not known: an
    input is a view, refs are those of another environment, or the SQL asks for the time or for a random number.
#}
{% macro row_made_from(compiled_code) %}
    {%- set sql = [compiled_code] -%}
    {%- for name in plan_names() -%}
        {%- do sql.append(context[name](config.get('inputs'))) -%}
    {%- endfor -%}
    {%- set changing = '(?i)\\b(current_(timestamp|date|time)|localtimestamp|(now|rand|randn|random|uuid)\\s*\\()' -%}
    {%- if flags.DEFER or flags.SAMPLE or modules.re.search(changing, sql | join(' ')) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set snapshots = [] -%}
    {%- for schema, name in row_input_tables(model) | unique | sort -%}
        {#- A model may depend on another only for its place in the lineage, before that one exists. -#}
        {%- set table = adapter.get_relation(database=none, schema=schema, identifier=name) -%}
        {%- set properties = row_table_properties(table) if table is not none and not table.is_view else {} -%}
        {%- set snapshot = 'missing' if table is none else properties.get('current-snapshot-id') -%}
        {%- if snapshot is none -%}
            {{ return(none) }}
        {%- endif -%}
        {#- A change of columns makes no snapshot. -#}
        {%- set columns = adapter.get_columns_in_relation(table) if table is not none else [] -%}
        {%- do snapshots.append(schema ~ '.' ~ name ~ ' ' ~ snapshot) -%}
        {%- for column in columns -%}
            {%- do snapshots.append(column.name ~ ' ' ~ column.dtype) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set of_model = {'config': model.config, 'columns': model.columns, 'description': model.description} -%}
    {{ return(local_md5(
        ([env_var('CHIPLAKE_CODE_DIGEST'), tojson(of_model, sort_keys=true)] + sql + snapshots) | join('\n')
    )) }}
{% endmacro %}
