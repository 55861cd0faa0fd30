{#
    A rule is the settings by which a row is computed. Rows of the table keep their rule, and new or changed rows get
    the rule of the current settings; variable `recompute` gives that rule to all rows.
#}
{% macro rule_recompute() %}
    {%- set wanted = var('recompute', false) -%}
    {%- if wanted is not boolean -%}
        {{ exceptions.raise_compiler_error("variable recompute is '" ~ wanted ~ "'; write true or false") }}
    {%- endif -%}
    {{ return(wanted) }}
{% endmacro %}
