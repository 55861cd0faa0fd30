{#
    Runs before Spark analyses the plans and the model's SQL, which may read a column of its own table that an older
    release lacked.
#}
{% macro row_add_declared_columns(relation) %}
    {%- set known = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {%- set added = [] -%}
    {%- for name, column in model.columns.items() if name not in known -%}
        {%- do added.append(name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    {%- if added -%}
        {%- do run_query('alter table ' ~ relation ~ ' add columns (' ~ added | join(', ') ~ ')') -%}
    {%- endif -%}
{% endmacro %}
