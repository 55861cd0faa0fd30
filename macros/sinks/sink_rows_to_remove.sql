{# Conditions on rows of the table, named target; a condition that no row meets is left out. #}
{% macro sink_rows_to_remove(pending, is_pending) %}
    {%- set inputs = config.get('inputs') -%}
    {%- set keys = row_key_columns(config.get('unique_key')) -%}
    {%- if should_full_refresh() -%}
        {{ return(['true']) }}
    {%- endif -%}
    {%- set is_replaced -%}
        exists (select 1 from {{ pending }} as pending where {{ row_matches(keys, 'pending', 'target') }})
    {%- endset -%}
    {%- set wanted = [is_replaced] if is_pending else [] -%}
    {%- set found = [] -%}
    {%- for condition in wanted + [row_is_obsolete(inputs, keys)] -%}
        {%- if row_exists('select 1 from ' ~ this ~ ' as target where ' ~ condition) -%}
            {%- do found.append(condition) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
