{#
    Replaces dbt-spark's macro, whose names are those of the models without the schema: temporary views of one session
    would replace each other, of two unit tests of a model, or of two models of the same name.
#}
{% macro spark__make_temp_relation(base_relation, suffix) %}
    {%- set node = model.unique_id if model is defined else '' -%}
    {%- set digest = local_md5(base_relation ~ node ~ invocation_id)[:8] -%}
    {{ return(
        base_relation.incorporate(path={'identifier': base_relation.identifier ~ suffix ~ '_' ~ digest})
        .include(database=false, schema=false)
    ) }}
{% endmacro %}
