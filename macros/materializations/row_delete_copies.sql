{#
    Two INSERTs of the same rows at the same time, of a release without locks, leave each row twice. Rows of one key
    that differ stay, and the model's unique test reports them.

    Nothing is read if the table is as the model's last run left it (row_mark). Otherwise the key columns are,
    and whole rows only if a key is there twice. One MERGE then deletes all rows of such a key and inserts them once:
    Iceberg's row numbers (_pos) cannot be used for tables that copy on write.
#}
{% macro row_delete_copies(target, keys) %}
    {%- set twice -%}
        select {{ keys | join(', ') }} from {{ target }} group by {{ keys | join(', ') }} having count(*) > 1
    {%- endset -%}
    {% if not row_is_marked_unique(target) and row_exists(twice) %}
        {%- set columns = adapter.get_columns_in_relation(target) -%}
        {%- set names = columns | map(attribute='quoted') | list -%}
        {%- set distinct_rows -%}
            select
                {% for name in names %}any_value(target.{{ name }}) as {{ name }}, {% endfor %}
                count(*) - 1 as chiplake__copies
            from {{ target }} as target
            left semi join ({{ twice }}) as twice on {{ row_matches(keys, 'target', 'twice') }}
            group by
                {% for column in columns %}
                {#- Maps have no order. -#}
                {{ 'cast(' if 'map<' in column.data_type }}target.{{ column.quoted }}
                {{- ' as string)' if 'map<' in column.data_type }}{{ ', ' if not loop.last }}
                {% endfor %}
        {%- endset -%}
        {% set count = run_query('select sum(chiplake__copies) from (' ~ distinct_rows ~ ')').rows[0][0] | int %}
        {% if count %}
            {% call statement('delete_copies') %}
                merge into {{ target }} as target
                using (
                    select {{ names | join(', ') }}, false as chiplake__is_gone from ({{ distinct_rows }})
                    union all
                    select {% for name in names %}any_value({{ name }}), {% endfor %}true as chiplake__is_gone
                    from ({{ distinct_rows }})
                    group by {{ keys | join(', ') }}
                ) as source
                on {{ row_matches(keys, 'source', 'target') }} and source.chiplake__is_gone
                when matched then delete
                when not matched and not source.chiplake__is_gone then insert ({{ names | join(', ') }})
                    values ({% for name in names %}source.{{ name }}{{ ', ' if not loop.last }}{% endfor %})
            {% endcall %}
            {% do log(target ~ ': ' ~ count ~ ' rows were copies of others and are removed', info=true) %}
        {% endif %}
    {% endif %}
{% endmacro %}
