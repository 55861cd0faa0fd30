-- utm_epsg: 6 degree zones except Norway and Svalbard; a border belongs to the eastern zone, the equator to the north.
with cases (place, longitude, latitude, expected) as (

    values
    ('Maribor', 15.6D, 46.5D, 32633),
    ('Ushuaia', -68.3D, -54.8D, 32719),
    ('equator', 0D, 0D, 32631),
    ('south of the equator', 0D, -0.0001D, 32731),
    ('180 degrees east', 180D, 10D, 32601),
    ('180 degrees west', -180D, 10D, 32601),
    ('before 180 degrees', 179.99D, -10D, 32760),
    ('a hair west of Greenwich', -1e-300D, 51.5D, 32630),
    ('Bergen', 5.3D, 60.4D, 32632),
    ('west of the wide zone 32', 2.99D, 60D, 32631),
    ('its west border', 3D, 56D, 32632),
    ('its east border', 12D, 60D, 32633),
    ('south of it', 5.3D, 55.99D, 32631),
    ('north of it', 5.3D, 64D, 32631),
    ('south of Svalbard', 8D, 71.99D, 32632),
    ('Svalbard, zone 31', 8.99D, 72D, 32631),
    ('Svalbard, zone 33', 9D, 78D, 32633),
    ('Longyearbyen', 15.6D, 78.2D, 32633),
    ('Svalbard, zone 35', 21D, 78D, 32635),
    ('Svalbard, zone 37', 33D, 78D, 32637),
    ('east of Svalbard', 42D, 78D, 32638),
    ('west of Svalbard', -0.01D, 78D, 32630),
    ('northern limit', 15D, 84D, 32633),
    ('north of it', 15D, 84.0001D, null),
    ('southern limit', -60D, -80D, 32721),
    ('south of it', -60D, -80.0001D, null),
    ('too far east', 180.0001D, 10D, null),
    ('too far west', -180.0001D, 10D, null),
    ('no longitude', null, 10D, null),
    ('no latitude', 10D, null, null),
    ('no numbers', double('NaN'), double('NaN'), null)

),

results as (

    select
        *,
        {{ utm_epsg('longitude', 'latitude') }} as actual
    from cases

)

select *
from results
where not actual <=> expected
