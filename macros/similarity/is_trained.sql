{# Ids of seeded encoders begin so: SEEDED_PREFIX in embedding/model/weights.py. #}
{% macro is_trained(model_id) -%}
    {{ model_id }} not like 'clay-seeded-%'
{%- endmacro %}
