{% macro in_baseline_history(patches, baselines) -%}
    {{ baselines }}.cell_id = {{ patches }}.cell_id
    and {{ baselines }}.feature_kind = {{ patches }}.feature_kind
    and {{ baselines }}.first_at <= {{ patches }}.acquired_at
    and {{ baselines }}.end_at > {{ patches }}.acquired_at
    and {{ patches }}.observed_patches > 0
{%- endmacro %}
