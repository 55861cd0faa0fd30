{#
    1.4826 times the median absolute deviation (MAD) is the standard deviation of normally distributed distances
    (Rousseeuw and Croux 1993). The spread is at least a quarter of the median: two or three earlier distances may lie
    close together by chance, and every small difference would then have a high score.
#}
{% macro change_score(distance, history_median, history_mad) -%}
    ({{ distance }} - {{ history_median }})
    / nullif(greatest(1.4826D * {{ history_mad }}, 0.25D * {{ history_median }}), 0)
{%- endmacro %}
