{#
    If an input makes several rows (its key is not the model's own), rows of an older version of the input are also
    deleted, because the merge has put the newer rows beside them.
#}
{% macro row_delete_without_input(target, inputs, keys) %}
    {%- set input_keys = row_key_columns(inputs.key) -%}
    {%- set compared = input_keys if input_keys == keys else input_keys + [inputs.version] -%}
    {%- set is_obsolete -%}
        not exists (
            select 1 from {{ ref(inputs.model) }} as inputs
            where {{ row_matches(compared, 'inputs', 'target') }}
        )
    {%- endset -%}
    {% if row_exists('select 1 from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
        {% do run_query('delete from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
    {% endif %}
{% endmacro %}
