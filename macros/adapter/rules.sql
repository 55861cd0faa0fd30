{#
    A rule is the settings by which a row is made. Rows that are there keep theirs, and what is new or changed gets
    the rule in force; variable `recompute` gives it to all.
#}
{% macro recompute() %}
    {%- set wanted = var('recompute', false) -%}
    {%- if wanted is not boolean -%}
        {{ exceptions.raise_compiler_error("variable recompute is '" ~ wanted ~ "'; write true or false") }}
    {%- endif -%}
    {{ return(wanted) }}
{% endmacro %}


{# False, too, of a table from before it had these columns: what it holds was made by a rule that is not known. #}
{% macro keeps_rules(columns) %}
    {%- set existing = load_relation(this) -%}
    {%- if existing is none or should_full_refresh() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set known = adapter.get_columns_in_relation(existing) | map(attribute='name') | list -%}
    {{ return(columns | reject('in', known) | list | length == 0) }}
{% endmacro %}


{% macro rows_with_rules(columns) %}
    select
        {% for column in columns -%}
        {{ column if keeps_rules(columns) else 'cast(null as string) as ' ~ column }}{{ ',' if not loop.last }}
        {% endfor -%}
    {% if keeps_rules(columns) %}from {{ this }}{% else %}where false{% endif %}
{% endmacro %}


{# Kept to a window, `recompute` leaves what lies outside of it alone. #}
{% macro is_rule_kept(relation) -%}
    {%- if recompute() -%}
        not (true {{ in_window(relation) }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
