{# Ids of seeded encoders start with this prefix: SEEDED_PREFIX in embedding/model/card.py. #}
{% macro is_trained(model_id) -%}
    {{ model_id }} not like 'clay-seeded-%'
{%- endmacro %}
