{# Fails for each row for which the condition is not true. #}
{% test holds(model, condition) %}
    select 1 as broken
    from {{ model }}
    where not coalesce({{ condition }}, false)
{% endtest %}
