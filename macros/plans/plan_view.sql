{% macro plan_view(name) %}
    {{ return(this.identifier ~ '__' ~ name) }}
{% endmacro %}
