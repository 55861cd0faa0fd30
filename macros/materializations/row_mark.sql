{# Marks are properties of the table, so they cost no snapshot, and one commit sets all of them. #}
{% macro row_mark(target, made_from, is_unique) %}
    {%- set properties = row_table_properties(target) -%}
    {%- set snapshot = properties.get('current-snapshot-id') -%}
    {%- set marks = {'chiplake.made-at': snapshot, 'chiplake.made-from': made_from or 'unknown'} -%}
    {%- if is_unique -%}
        {%- do marks.update({'chiplake.unique-at': snapshot}) -%}
    {%- endif -%}
    {%- set changed = [] -%}
    {%- for name, value in marks.items() if properties.get(name) != value -%}
        {%- do changed.append("'" ~ name ~ "' = '" ~ value ~ "'") -%}
    {%- endfor -%}
    {% if changed %}
        {% do run_query('alter table ' ~ target ~ ' set tblproperties (' ~ changed | join(', ') ~ ')') %}
    {% endif %}
{% endmacro %}
