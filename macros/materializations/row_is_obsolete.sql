{#
    If an input makes several rows (its key is not the model's own), rows of an older version of the input are also
    obsolete, because newer rows are beside them.
#}
{% macro row_is_obsolete(inputs, keys) %}
    {%- set input_keys = row_key_columns(inputs.key) -%}
    {%- set compared = input_keys if input_keys == keys else input_keys + [inputs.version] -%}
    not exists (
        select 1 from {{ ref(inputs.model) }} as inputs
        where {{ row_matches(compared, 'inputs', 'target') }}
    )
{% endmacro %}
