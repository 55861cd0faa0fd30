{#
    1.4826 turns the median absolute deviation (MAD) into a standard deviation where distances are normal
    (Rousseeuw and Croux 1993). The spread is taken as at least a quarter of the median: two or three earlier
    distances may lie close together by chance, and every ripple would stand out.
#}
{% macro change_score(distance, history_median, history_mad) -%}
    ({{ distance }} - {{ history_median }})
    / nullif(greatest(1.4826D * {{ history_mad }}, 0.25D * {{ history_median }}), 0)
{%- endmacro %}
