{% macro row_changes(source, target, keys, columns, version_columns) %}
    select
        {% for column in columns %}source.{{ column }}, {% endfor %}
        false as is_gone
    from {{ source }} as source
    left anti join {{ target }} as target
        on {{ row_matches(keys, 'source', 'target') }}
        and {{ row_matches(version_columns, 'source', 'target') }}
    union all
    select
        {% for column in columns %}target.{{ column }}, {% endfor %}
        true as is_gone
    from {{ target }} as target
    left anti join {{ source }} as source
        on {{ row_matches(keys, 'source', 'target') }}
{% endmacro %}
