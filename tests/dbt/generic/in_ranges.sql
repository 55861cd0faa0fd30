{% test in_ranges(model, ranges) %}
    select *
    from {{ model }}
    where not (
        {% for column, limits in ranges.items() %}
        coalesce({{ column }} between {{ limits[0] }} and {{ limits[1] }}, true){{ ' and' if not loop.last }}
        {% endfor %}
    )
{% endtest %}
