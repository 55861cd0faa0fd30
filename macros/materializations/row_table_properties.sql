{% macro row_table_properties(target) %}
    {%- set properties = {} -%}
    {%- for row in run_query('show tblproperties ' ~ target).rows -%}
        {#- dbt reads a column of numbers as numbers. -#}
        {%- do properties.update({row[0]: row[1] | string}) -%}
    {%- endfor -%}
    {{ return(properties) }}
{% endmacro %}
