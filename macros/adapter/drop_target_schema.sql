{% macro drop_target_schema(schema) %}
    {%- if schema != target.schema -%}
        {{ exceptions.raise_compiler_error(
            "the target's schema is " ~ target.schema ~ ", not " ~ schema ~ ": export CHIPLAKE_TARGET_SCHEMA=" ~ schema
        ) }}
    {%- endif -%}
    {% do adapter.drop_schema(api.Relation.create(schema=schema)) %}
{% endmacro %}
