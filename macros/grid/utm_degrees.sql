{# Longitudes continue past 180 degrees, so that a polygon is in one piece until cut_at_antimeridian cuts it. #}
{% macro utm_degrees(easting, northing, epsg) -%}
    {%- set ellipsoid = utm_ellipsoid() -%}
    {%- set plane -%}
        struct(
            ({{ northing }} - {{ utm_false_northing(epsg) }}) / {{ ellipsoid.scaled_radius }}D as xi,
            ({{ easting }} - 500000) / {{ ellipsoid.scaled_radius }}D as eta,
            {{ utm_meridian(epsg) }} as meridian
        )
    {%- endset -%}
    {%- set sphere -%}
        struct(
            plane.xi
            {%- for term in ellipsoid.inverse %}
            - {{ term }}D * sin({{ 2 * loop.index }} * plane.xi) * cosh({{ 2 * loop.index }} * plane.eta)
            {%- endfor %} as xi,
            plane.eta
            {%- for term in ellipsoid.inverse %}
            - {{ term }}D * cos({{ 2 * loop.index }} * plane.xi) * sinh({{ 2 * loop.index }} * plane.eta)
            {%- endfor %} as eta
        )
    {%- endset -%}
    {%- set conformal -%}
        struct(
            atan2(sin(sphere.xi), hypot(sinh(sphere.eta), cos(sphere.xi))) as latitude,
            atan2(sinh(sphere.eta), cos(sphere.xi)) as dlon
        )
    {%- endset -%}
    {%- set place -%}
        struct(
            plane.meridian + degrees(conformal.dlon) as longitude,
            degrees(
                conformal.latitude
                {%- for term in ellipsoid.latitude %}
                + {{ term }}D * sin({{ 2 * loop.index }} * conformal.latitude)
                {%- endfor %}
            ) as latitude
        )
    {%- endset -%}
    {{ bind('plane', plane, bind('sphere', sphere, bind('conformal', conformal, place))) }}
{%- endmacro %}
