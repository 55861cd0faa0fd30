{#
    The part of a rule that says which pixels are valid, as a dictionary. What is not limited is not in it, so that rows
    of earlier releases have the same rule.
#}
{% macro validity_rule() %}
    {%- set rule = {
        'valid_scl_classes': valid_scl_classes(),
        'cloud_dilation_pixels': setting('fill_cloud_dilation_pixels') | int,
    } -%}
    {%- set limits = {
        'max_cloud_probability': setting('fill_max_cloud_probability') | int,
        'max_snow_probability': setting('fill_max_snow_probability') | int,
    } -%}
    {%- for name, percent in limits.items() if percent < 100 -%}
        {%- do rule.update({name: percent}) -%}
    {%- endfor -%}
    {%- set mask = env_var('CHIPLAKE_FILL_MASK_VERSION') -%}
    {%- if mask -%}
        {%- do rule.update({'mask': mask}) -%}
    {%- endif -%}
    {{ return(rule) }}
{% endmacro %}
