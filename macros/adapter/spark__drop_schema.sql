{# Replaces dbt-spark's macro, which drops with `cascade`; Iceberg's catalogs drop no schema that has tables. #}
{% macro spark__drop_schema(relation) %}
    {% if adapter.check_schema_exists(relation.database, relation.schema) %}
        {% for view in list_views(relation.schema) if not view[2] %}
            {% do run_query('drop view ' ~ relation.schema ~ '.' ~ adapter.quote(view[1])) %}
        {% endfor %}
        {% for table in run_query('show tables in ' ~ relation.schema) if not table[2] %}
            {% do run_query('drop table ' ~ relation.schema ~ '.' ~ adapter.quote(table[1]) ~ ' purge') %}
        {% endfor %}
        {% do run_query('drop schema ' ~ relation.schema) %}
    {% endif %}
{% endmacro %}
