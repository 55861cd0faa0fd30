{% macro newest_baseline(processing_baseline) -%}
    coalesce(
        max(if({{ is_of_user(processing_baseline) }}, null, {{ processing_baseline }})),
        max({{ processing_baseline }})
    )
{%- endmacro %}
