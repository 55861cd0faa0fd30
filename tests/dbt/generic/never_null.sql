{#- One query for all columns of a table: a query a column takes longer than all the tests of a night's rows. -#}
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
