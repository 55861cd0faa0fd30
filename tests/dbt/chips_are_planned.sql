-- Every chip is listed in int_chip_inputs, every filled chip in int_fill_inputs, and every composite in
-- int_composite_inputs.
select
    'fct_chips' as model,
    chips.chip_id
from {{ ref('fct_chips') }} as chips
left anti join {{ ref('int_chip_inputs') }} as inputs on chips.chip_id = inputs.chip_id
union all
select
    'fct_filled_chips' as model,
    filled_chips.chip_id
from {{ ref('fct_filled_chips') }} as filled_chips
left anti join {{ ref('int_fill_inputs') }} as inputs on filled_chips.chip_id = inputs.chip_id
union all
select
    'fct_composites' as model,
    composites.composite_id
from {{ ref('fct_composites') }} as composites
left anti join {{ ref('int_composite_inputs') }} as inputs on composites.composite_id = inputs.composite_id
