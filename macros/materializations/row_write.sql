{#
    Merges changes, or inserts them if no key of them is in the table (`known_rows` is empty), as on most nights: Spark
    never broadcasts the target of a MERGE, so it would shuffle the rows without replacing any. An append never
    conflicts with another one, so a catalog without locks gets the MERGE, which fails if another run has added the rows
    meanwhile.
#}
{% macro row_write(target, changes, known_rows, keys, columns) %}
    {% set adds_only = env_var('CHIPLAKE_CATALOG') == 'sql' and not row_exists(known_rows) %}
    {% call statement('main') %}
        {{ row_insert(target, changes, columns) if adds_only else row_merge(target, changes, keys, columns) }}
    {% endcall %}
{% endmacro %}
