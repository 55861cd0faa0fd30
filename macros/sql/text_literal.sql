{#
    The literal is hexadecimal unless every character is harmless, because the meaning of quotes, backslashes and
    `${...}` in a literal depends on Spark's release and settings.
#}
{% macro text_literal(text) -%}
    {%- if modules.re.fullmatch('[A-Za-z0-9_.:-]*', text | string) -%}
        '{{ text }}'
    {%- else -%}
        cast(X'{{ (text | string).encode('utf-8').hex() }}' as string)
    {%- endif -%}
{%- endmacro %}
