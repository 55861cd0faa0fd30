-- Every planned chip is cut and filled in its current version, unless the run was limited to a window.
-- Failure is a warning: after a run with `start_date`, `end_date` or `bbox`, a test without them finds the other chips.
{{ config(severity='warn') }}

select
    'fct_chips' as model,
    inputs.chip_id
from {{ ref('int_chip_inputs') }} as inputs
left anti join {{ ref('fct_chips') }} as chips
    on inputs.chip_id = chips.chip_id and inputs.source_hash = chips.source_hash
where true {{ in_window('inputs') }}
union all
select
    'fct_filled_chips' as model,
    inputs.chip_id
from {{ ref('int_fill_inputs') }} as inputs
left anti join {{ ref('fct_filled_chips') }} as filled_chips
    on inputs.chip_id = filled_chips.chip_id and inputs.input_hash = filled_chips.input_hash
where true {{ in_window('inputs') }}
