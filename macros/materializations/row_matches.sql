{% macro row_matches(columns, first, second) %}
    {%- for column in columns -%}
        {{ first }}.{{ column }} <=> {{ second }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
