-- grid_cell_id: zone, column and row; rows south of a zone's origin are negative; null if one of the parts is null.
with cases (epsg, cell_col, cell_row, expected) as (

    values
    (32633, 195, 2031, '32633_195_2031'),
    (32701, 0, 3905, '32701_0_3905'),
    (32631, -1, -2, '32631_-1_-2'),
    (null, 195, 2031, null),
    (32633, null, 2031, null),
    (32633, 195, null, null)

),

results as (

    select
        *,
        {{ grid_cell_id('epsg', 'cell_col', 'cell_row') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
