{% macro pending_inputs(inputs) %}
    select inputs.*
    from {{ ref(inputs.model) }} as inputs
    {% if load_relation(this) is not none and not should_full_refresh() %}
    left anti join {{ this }} as done
        on {{ same(as_list(inputs.key) + [inputs.version], 'inputs', 'done') }}
        {% if inputs.retry_errors %}and done.error is null{% endif %}
    {% endif %}
    where true
    {% if inputs.window %}{{ in_window('inputs') }}{% endif %}
{% endmacro %}
