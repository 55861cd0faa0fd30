{% macro datatakes_to_plan(inputs) %}
    {{ pending_inputs(inputs) }}
    {% if rule_recompute() and updates_table() %}
    union distinct
    select inputs.*
    from {{ ref(inputs.model) }} as inputs
    left semi join {{ this }} as done
        on
            inputs.datatake_id = done.datatake_id
            and inputs.epsg = done.epsg
            and done.cut_rule != {{ cut_rule() }}
            {{ in_window('done') }}
    {% endif %}
{% endmacro %}
