-- grid_primary_cell_id: the cell that contains the place, in the place's own zone; columns and rows from pyproj.
with cases (place, longitude, latitude, expected) as (

    values
    ('Maribor', 15.6D, 46.5D, '32633_213_2011'),
    ('Nairobi', 36.8D, -1.3D, '32737_99_3850'),
    ('on the equator, a row that starts there', 9D, 0D, '32632_195_0'),
    ('south of it, a row that goes on north of it', 9D, -0.001D, '32732_195_3906'),
    ('Bergen', 5.3D, 60.4D, '32632_115_2617'),
    ('Longyearbyen', 15.6D, 78.2D, '32633_200_3390'),
    ('180 degrees east', 180D, -17D, '32701_70_3171'),
    ('180 degrees west', -180D, -17D, '32701_70_3171'),
    ('North Pole', 0D, 90D, null),
    ('nowhere', null, 46.5D, null)

),

results as (

    select
        *,
        {{ grid_primary_cell_id('longitude', 'latitude') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
