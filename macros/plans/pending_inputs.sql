{% macro pending_inputs(inputs) %}
    {%- set bounds = [] if inputs.window is boolean else inputs.window -%}
    select {% for column in inputs.columns or ['*'] %}inputs.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ ref(inputs.model) }} as inputs
    {% if updates_table() %}
    left anti join {{ this }} as done
        on {{ row_matches(row_key_columns(inputs.key) + [inputs.version], 'inputs', 'done') }}
        {% if inputs.retry_errors %}and done.error is null{% endif %}
    {% endif %}
    where true
    {% if inputs.where %}and ({{ inputs.where }}){% endif %}
    {% if inputs.window %}{{ in_window('inputs', *bounds) }}{% endif %}
{% endmacro %}
