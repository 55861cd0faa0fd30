{% macro l2_normalise(embedding) -%}
    {{ bind(
        'l2_norm',
        'nullif(sqrt(' ~ squared_norm(embedding) ~ '), 0)',
        'if(l2_norm is null, null, transform(' ~ embedding ~ ', number -> number / l2_norm))'
    ) }}
{%- endmacro %}
