{#
    WGS 84 in the transverse Mercator series of Krüger, third flattening n = f / (2 - f), f = 1 / 298.257223563.
    C. F. F. Karney, Transverse Mercator with an accuracy of a few nanometers, J. Geodesy 85 (2011), arXiv:1002.1417:
    equation 14 (radius of the rectifying sphere), 35 (forward), 36 (inverse); conformal to geographic latitude as in
    GeographicLib. Each series ends where its next term is below 10 nm within 10 degrees of the meridian.
#}
{% macro utm_ellipsoid() -%}
    {{ return({
        'eccentricity': 0.0818191908426215,
        'scaled_radius': 0.9996 * 6367449.145823415,
        'forward': [
            0.0008377318206244698, 7.608527773572309e-07, 1.1976455033294525e-09, 2.4291706072013587e-12,
            5.711757677865804e-15,
        ],
        'inverse': [
            0.0008377321640579486, 5.905870152220203e-08, 1.6734826652839968e-10, 2.1647980400627059e-13,
        ],
        'latitude': [
            0.003356551469132832, 6.5718731986284435e-06, 1.7646404113085805e-08, 5.3877537842559224e-11,
            1.764007472632213e-13,
        ],
    }) }}
{%- endmacro %}
