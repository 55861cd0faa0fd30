{# The select is computed once, and of the table only its keys and versions are read. A row that is gone has only keys. #}
{% macro row_changes(source, target, keys, columns, version_columns) %}
    select
        {% for column in columns %}
        {{ 'coalesce(source.%s, target.%s) as %s' % (column, column, column) if column in keys else 'source.' ~ column }},
        {% endfor %}
        source.chiplake__is_selected is null as is_gone
    from (select *, true as chiplake__is_selected from {{ source }}) as source
    full outer join (
        select {{ (keys + version_columns) | unique | join(', ') }}, true as chiplake__is_present from {{ target }}
    ) as target
        on {{ row_matches(keys, 'source', 'target') }}
    where
        source.chiplake__is_selected is null
        or target.chiplake__is_present is null
        or not ({{ row_matches(version_columns, 'source', 'target') }})
{% endmacro %}
