{% macro row_delete_without_input(target, inputs, keys) %}
    {%- set is_obsolete = row_is_obsolete(inputs, keys) -%}
    {% if row_exists('select 1 from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
        {% do run_query('delete from ' ~ target ~ ' as target where ' ~ is_obsolete) %}
    {% endif %}
{% endmacro %}
