{# A box whose west is greater than its east crosses the antimeridian. #}
{% macro in_box(relation, box) %}
    {%- if box %}
    and (
        {{ relation }}.longitude >= {{ box[0] | float }}
        {{ 'and' if box[0] | float <= box[2] | float else 'or' }} {{ relation }}.longitude <= {{ box[2] | float }}
    )
    and {{ relation }}.latitude between {{ box[1] | float }} and {{ box[3] | float }}
    {%- endif %}
{% endmacro %}
