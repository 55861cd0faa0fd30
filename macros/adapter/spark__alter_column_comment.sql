{#-
    Replaces dbt-spark's macro, which commits once per column in every run. This commits once, if comments differ. Views
    have their comments since they were created.
-#}
{% macro spark__alter_column_comment(relation, column_dict) %}
    {%- if relation.is_view -%}
        {{ return('') }}
    {%- endif -%}
    {%- set comments = {} -%}
    {%- for row in run_query('describe table ' ~ relation).rows -%}
        {%- do comments.update({row[0]: row[2]}) if row[0] not in comments -%}
    {%- endfor -%}
    {%- set changes = [] -%}
    {%- for name, column in column_dict.items() if column.description and comments.get(name) != column.description -%}
        {%- set words = column.description | replace('\\', '\\\\') | replace("'", "\\'") -%}
        {%- do changes.append(adapter.quote(name) ~ " comment '" ~ words ~ "'") -%}
    {%- endfor -%}
    {%- if changes -%}
        {%- do run_query('alter table ' ~ relation ~ ' alter column ' ~ changes | join(', ')) -%}
    {%- endif -%}
{% endmacro %}
