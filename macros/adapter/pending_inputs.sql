{#
    Rows of a model's inputs that the model has not yet, or has in another version, or has with an error.

    Arguments:
        inputs: {'model': name of the model that says what should be there,
                 'key': its key columns, which this model has too,
                 'version': its column that changes when a row must be made again, which this model has too,
                 'is_costly': true if the model reads pixels or calls a model,
                 'retry_errors': true if this model has a column `error`,
                 'window': true to keep to `start_date` and `end_date` (dates of acquisition) and `bbox`}
#}
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
