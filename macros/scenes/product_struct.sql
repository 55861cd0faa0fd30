{# What cutting takes of a product: python_udfs/extract/strip.py has the same fields. #}
{% macro product_struct(relation) -%}
    struct(
        {%- for name in [
            'item_id', 'hrefs', 'scale', 'is_scale_stated', 'boa_offset', 'boa_offset_reason', 'data_type', 'nodata'
        ] %}
        {{ relation }}.{{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
