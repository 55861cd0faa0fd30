{# Sedona's st_transform is wrong by centimetres near the border of a zone, which can give the wrong cell. #}
{% macro utm_coordinates(longitude, latitude, epsg) -%}
    {%- set ellipsoid = utm_ellipsoid() -%}
    {%- set place -%}
        struct(
            radians({{ longitude }} - {{ utm_meridian(epsg) }}) as dlon,
            tan(radians({{ latitude }})) as tau,
            sinh(
                {{ ellipsoid.eccentricity }}D * atanh({{ ellipsoid.eccentricity }}D * sin(radians({{ latitude }})))
            ) as sigma,
            {{ utm_false_northing(epsg) }} as false_northing
        )
    {%- endset -%}
    {%- set conformal -%}
        struct(
            place.tau * sqrt(1 + place.sigma * place.sigma) - place.sigma * sqrt(1 + place.tau * place.tau) as tau,
            sin(place.dlon) as sin_dlon,
            cos(place.dlon) as cos_dlon
        )
    {%- endset -%}
    {%- set sphere -%}
        struct(
            atan2(conformal.tau, conformal.cos_dlon) as xi,
            asinh(conformal.sin_dlon / hypot(conformal.tau, conformal.cos_dlon)) as eta
        )
    {%- endset -%}
    {%- set coordinates -%}
        struct(
            500000 + {{ ellipsoid.scaled_radius }}D * (
                sphere.eta
                {%- for term in ellipsoid.forward %}
                + {{ term }}D * cos({{ 2 * loop.index }} * sphere.xi) * sinh({{ 2 * loop.index }} * sphere.eta)
                {%- endfor %}
            ) as easting,
            place.false_northing + {{ ellipsoid.scaled_radius }}D * (
                sphere.xi
                {%- for term in ellipsoid.forward %}
                + {{ term }}D * sin({{ 2 * loop.index }} * sphere.xi) * cosh({{ 2 * loop.index }} * sphere.eta)
                {%- endfor %}
            ) as northing
        )
    {%- endset -%}
    {{ bind('place', place, bind('conformal', conformal, bind('sphere', sphere, coordinates))) }}
{%- endmacro %}
