{# Replaces dbt-spark's macro, which refuses to drop columns of any table; Iceberg can drop them. #}
{% macro spark__alter_relation_add_remove_columns(relation, add_columns, remove_columns) %}
    {% if add_columns %}
        {% set added = [] %}
        {% for column in add_columns %}
            {% do added.append(column.quoted ~ ' ' ~ column.data_type) %}
        {% endfor %}
        {% do run_query('alter table ' ~ relation ~ ' add columns (' ~ added | join(', ') ~ ')') %}
    {% endif %}
    {% if remove_columns %}
        {% set removed = remove_columns | map(attribute='quoted') | join(', ') %}
        {% do run_query('alter table ' ~ relation ~ ' drop columns (' ~ removed ~ ')') %}
    {% endif %}
{% endmacro %}
