-- Composites were made by the current settings composite_method, valid_scl_classes and fill_cloud_dilation_pixels.
-- Failure is a warning with the number of other composites, as in rows_follow_the_rules_in_force.
{{ config(severity='warn', fail_calc='coalesce(sum(made_by_older_rules), 0)') }}

select
    composites.rule_version as rule,
    count(*) as made_by_older_rules,
    'chiplake run nightly --recompute' as remedy
from {{ ref('fct_composites') }} as composites
inner join {{ ref('int_composite_inputs') }} as inputs on composites.composite_id = inputs.composite_id
where
    composites.rule_version != {{ composite_rule_version() }}
    {{ in_window('inputs', 'first_acquired_at', 'last_acquired_at') }}
group by composites.rule_version
