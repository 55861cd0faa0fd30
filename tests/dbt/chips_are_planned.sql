-- Every chip is listed in int_chip_inputs, and every filled chip in int_fill_inputs.
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
