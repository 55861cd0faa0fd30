{# A kind that no row of the table is of is left out, because most runs remove nothing. #}
{% macro sink_rows_to_remove(pending, is_pending) %}
    {%- if should_full_refresh() -%}
        {{ return(['all']) }}
    {%- endif -%}
    {%- set found = [] -%}
    {%- for kind in (['replaced'] if is_pending else []) + ['obsolete'] -%}
        {%- if row_exists('select 1 from ' ~ this ~ ' as target where ' ~ sink_is_removed(kind, pending)) -%}
            {%- do found.append(kind) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
