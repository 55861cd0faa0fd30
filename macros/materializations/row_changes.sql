{# One join, so that source and target are computed once each. A row that only the target has is gone. #}
{% macro row_changes(source, target, keys, columns, version_columns) %}
    select
        {% for column in columns %}
        if(source.chiplake__is_there, source.{{ column }}, target.{{ column }}) as {{ column }},
        {% endfor %}
        source.chiplake__is_there is null as is_gone
    from (select *, true as chiplake__is_there from {{ source }}) as source
    full outer join (select *, true as chiplake__is_there from {{ target }}) as target
        on {{ row_matches(keys, 'source', 'target') }}
    where source.chiplake__is_there is null
        or target.chiplake__is_there is null
        or not ({{ row_matches(version_columns, 'source', 'target') }})
{% endmacro %}
