{% macro day_literal(text) %}
    {%- if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', text | string) -%}
        {{ exceptions.raise_compiler_error("'" ~ text ~ "' is not a date: write YYYY-MM-DD") }}
    {%- endif -%}
    timestamp '{{ text }} 00:00:00'
{%- endmacro %}
