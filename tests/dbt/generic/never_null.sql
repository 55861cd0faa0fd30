{#- One query for all columns of a table. A query for each column would take most of the time of a `dbt build`. -#}
{% test never_null(model, columns) %}
    with counts as (

        select
            {% for column in columns -%}
            count_if({{ column }} is null) as {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        from {{ model }}

    ),

    by_column as (

        select stack(
            {{ columns | length }},
            {% for column in columns -%}
            '{{ column }}', {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        ) as (column_name, null_count)
        from counts

    )

    select *
    from by_column
    where null_count > 0
{% endtest %}
