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
    {%- set states = [] -%}
    {%- for schema, name in row_input_tables(model) | unique | sort -%}
        {#- A model may depend on another only for its place in the lineage, before that one exists. -#}
        {%- set table = adapter.get_relation(database=none, schema=schema, identifier=name) -%}
        {%- set state = 'missing' if table is none else row_table_state(table) -%}
        {%- if state is none -%}
            {{ return(none) }}
        {%- endif -%}
        {%- do states.append(schema ~ '.' ~ name ~ ' ' ~ state) -%}
    {%- endfor -%}
    {%- set of_model = {'config': model.config, 'columns': model.columns, 'description': model.description} -%}
    {{ return(local_md5(
        ([env_var('CHIPLAKE_CODE_DIGEST'), tojson(of_model, sort_keys=true)] + sql + states) | join('\n')
    )) }}
{% endmacro %}
