{# The furthest state of the parts that go on; without such a part, how the others ended. #}
{% macro event_state(state) -%}
    case
        when bool_or({{ state }} = 'confirmed') then 'confirmed'
        when bool_or({{ state }} = 'provisional') then 'provisional'
        when bool_or({{ state }} = 'first') then 'first'
        when bool_or({{ state }} = 'finished') then 'finished'
        else 'reverted'
    end
{%- endmacro %}
