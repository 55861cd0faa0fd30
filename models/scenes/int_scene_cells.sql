{% set inputs = {'model': 'int_scenes', 'key': 'scene_id', 'version': 'scene_hash'} %}

{{ config(unique_key=['scene_id', 'cell_id'], inputs=inputs) }}

{% set size = grid_cell_size() %}
{# Metres. A raster reaches into a cell by a pixel of 10 m or not at all; less is the arithmetic of footprints. #}
{% set noise = 1 %}

with scenes as (

    select * from {{ plan('pending_inputs', inputs) }}

),

-- Every cell that the scene's raster touches, wholly or in part. The raster decides, not the footprint: providers draw
-- footprints roughly, and pixels outside of the footprint would be lost. The footprint gives covered_fraction.
columns_of_cells as (

    select
        *,
        explode(
            sequence(floor((utm_xmin + {{ noise }}) / {{ size }}), ceil((utm_xmax - {{ noise }}) / {{ size }}) - 1)
        ) as cell_col
    from scenes

),

cells as (

    select
        *,
        explode(
            sequence(floor((utm_ymin + {{ noise }}) / {{ size }}), ceil((utm_ymax - {{ noise }}) / {{ size }}) - 1)
        ) as cell_row
    from columns_of_cells

),

corners_of_cells as (

    select
        *,
        {{ grid_cell_corners('epsg', 'cell_col', 'cell_row') }} as corners
    from cells

),

shapes as (

    select
        *,
        st_geomfromwkb(geometry) as footprint,
        {{ grid_cell_polygon('corners') }} as cell
    from corners_of_cells

),

final as (

    select
        scene_id,
        {{ grid_cell_id('epsg', 'cell_col', 'cell_row') }} as cell_id,
        scene_hash,
        datatake_id,
        epsg,
        int(cell_col) as cell_col,
        int(cell_row) as cell_row,
        coalesce(st_area(st_intersection(cell, footprint)) / st_area(cell), 0) as covered_fraction,
        cell_col * {{ size }} >= utm_xmin - {{ noise }}
        and cell_row * {{ size }} >= utm_ymin - {{ noise }}
        and (cell_col + 1) * {{ size }} <= utm_xmax + {{ noise }}
        and (cell_row + 1) * {{ size }} <= utm_ymax + {{ noise }} as is_whole,
        {{ grid_version() }} as grid_version
    from shapes

)

select * from final
