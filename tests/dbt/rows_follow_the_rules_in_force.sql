-- Chips and filled chips were computed by the current settings bands, valid_scl_classes and fill_...
-- Failure is a warning with the number of other chips. They stay as they are until they are recomputed:
-- `chiplake run nightly --recompute`, or dbt with `--vars 'recompute: true'`.
{{ config(severity='warn', fail_calc='coalesce(sum(made_by_older_rules), 0)') }}

select
    'fct_chips' as model,
    inputs.cut_rule as rule,
    count(*) as made_by_older_rules,
    'chiplake run nightly --recompute' as remedy
from {{ ref('int_chip_inputs') }} as inputs
inner join {{ ref('fct_chips') }} as chips
    on inputs.chip_id = chips.chip_id and inputs.source_hash = chips.source_hash
where inputs.cut_rule != {{ cut_rule() }} {{ in_window('inputs') }}
group by inputs.cut_rule
union all
select
    'fct_filled_chips' as model,
    filled_chips.rule_version as rule,
    count(*) as made_by_older_rules,
    'chiplake run nightly --recompute' as remedy
from {{ ref('fct_filled_chips') }} as filled_chips
inner join {{ ref('int_fill_inputs') }} as inputs on filled_chips.chip_id = inputs.chip_id
where filled_chips.rule_version != {{ fill_rule_version() }} {{ in_window('inputs') }}
group by filled_chips.rule_version
