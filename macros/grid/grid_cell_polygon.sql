{# Cut at the antimeridian like a footprint, so that no polygon spans all longitudes. #}
{% macro grid_cell_polygon(corners) -%}
    {%- set polygon -%}
        st_makepolygon(
            st_makeline(
                transform(concat({{ corners }}, slice({{ corners }}, 1, 1)), p -> st_point(p.longitude, p.latitude))
            )
        )
    {%- endset -%}
    case
        when exists({{ corners }}, p -> p.longitude < -180 or p.longitude > 180)
            then {{ bind('polygon', polygon, cut_at_antimeridian('polygon')) }}
        else {{ polygon }}
    end
{%- endmacro %}
