{# One statement commits one snapshot: all changes or none. #}
{% macro row_merge(target, changes, keys, columns) %}
    merge into {{ target }} as target
    using {{ changes }} as source
    on {{ row_matches(keys, 'source', 'target') }}
    when matched and source.is_gone then delete
    when matched then update set
        {% for column in columns %}{{ column }} = source.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    when not matched and not source.is_gone then insert ({{ columns | join(', ') }})
        values ({% for column in columns %}source.{{ column }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}
