{#
    How far a distance stands out of a cell's earlier ones: robust standard deviations above their median.

    1.4826 turns the median absolute deviation (MAD) into a standard deviation where distances are normal
    (Rousseeuw and Croux 1993). The spread is taken as at least a quarter of the median: two or three earlier
    distances may lie close together by chance, and every ripple would stand out.
    Arguments: SQL expressions, double.
#}
{% macro change_score(distance, history_median, history_mad) -%}
    ({{ distance }} - {{ history_median }})
    / nullif(greatest(1.4826D * {{ history_mad }}, 0.25D * {{ history_median }}), 0)
{%- endmacro %}
