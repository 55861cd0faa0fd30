-- Every planned composite is made in its current version, unless the run was limited to a window.
-- Failure is a warning: after a run with `start_date`, `end_date` or `bbox`, a test without them finds the others.
{{ config(severity='warn') }}

select inputs.composite_id
from {{ ref('int_composite_inputs') }} as inputs
left anti join {{ ref('fct_composites') }} as composites
    on inputs.composite_id = composites.composite_id and inputs.input_hash = composites.input_hash
where true {{ in_window('inputs', 'first_acquired_at', 'last_acquired_at') }}
