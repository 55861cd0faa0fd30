-- grid_cell_parts: the parts of an id as grid_cell_id writes it; null for any other text.
with cases (cell_id, expected) as (

    values
    ('32633_195_2031', struct(32633 as epsg, 195 as cell_col, 2031 as cell_row)),
    ('32760_0_0', struct(32760 as epsg, 0 as cell_col, 0 as cell_row)),
    ('32601_-1_-4', struct(32601 as epsg, -1 as cell_col, -4 as cell_row)),
    ('32600_195_2031', null),
    ('32661_195_2031', null),
    ('32800_195_2031', null),
    ('4326_195_2031', null),
    ('32633_195', null),
    ('32633_195_2031_0', null),
    ('32633_195_', null),
    ('32633__2031', null),
    ('32633_0195_2031', null),
    ('32633_-0_2031', null),
    ('32633_+195_2031', null),
    (' 32633_195_2031', null),
    ('32633_195_2031\n', null),
    ('32633_195.0_2031', null),
    ('32633_195_99999999999', null),
    ('u24x9p0c', null),
    ('', null),
    (null, null)

),

results as (

    select
        *,
        {{ grid_cell_parts('cell_id') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
