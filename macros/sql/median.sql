{% macro median(numbers) -%}
    (
        get(array_sort({{ numbers }}), cast(floor((size({{ numbers }}) - 1) / 2) as int))
        + get(array_sort({{ numbers }}), cast(floor(size({{ numbers }}) / 2) as int))
    ) / 2
{%- endmacro %}
