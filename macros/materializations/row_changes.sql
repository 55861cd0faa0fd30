{#
    One join, so that source and target are computed once each. A row that only the target has is gone. A MERGE takes
    one row for each key; so where the target may have a key twice, one of its rows is compared.
#}
{% macro row_changes(source, target, keys, columns, version_columns) %}
    {%- set columns_of_key = keys | join(', ') -%}
    {%- set number -%}
        row_number() over (partition by {{ columns_of_key }} order by {{ columns_of_key }})
    {%- endset -%}
    select
        {% for column in columns %}
        if(source.chiplake__is_there, source.{{ column }}, target.{{ column }}) as {{ column }},
        {% endfor %}
        source.chiplake__is_there is null as is_gone
    from (select *, true as chiplake__is_there from {{ source }}) as source
    full outer join (
        select *, true as chiplake__is_there
        from (select *, {{ 1 if row_is_marked_unique(target) else number }} as chiplake__number from {{ target }})
        where chiplake__number = 1
    ) as target
        on {{ row_matches(keys, 'source', 'target') }}
    where source.chiplake__is_there is null
        or target.chiplake__is_there is null
        or not ({{ row_matches(version_columns, 'source', 'target') }})
{% endmacro %}
