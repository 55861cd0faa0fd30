{% macro is_probability(layer) -%}
    {{ layer }} in ('{{ probability_layers() | join("', '") }}')
{%- endmacro %}
