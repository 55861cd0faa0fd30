-- text_literal: any text stays as it is; it neither ends the literal nor is replaced by Spark.
{% set quote, backslash = "'", '\\' %}
with results as (

    select
        'an id' as name,
        {{ text_literal('32633_233_1980_S2A_20230805T095031') }} as actual,
        concat('32633_233_1980_S2A_', '20230805T095031') as expected
    union all
    select
        'a quote' as name,
        {{ text_literal("it" ~ quote ~ "s") }} as actual,
        concat('it', char(39), 's') as expected
    union all
    select
        'a backslash before a quote' as name,
        {{ text_literal(backslash ~ quote ~ " or 1 = 1 --") }} as actual,
        concat(char(92), char(39), ' or 1 = 1 --') as expected
    union all
    select
        'a substitution' as name,
        {{ text_literal('$' ~ '{spark.app.name}') }} as actual,
        concat('$', '{spark.app.name}') as expected
    union all
    select
        'beyond ASCII' as name,
        {{ text_literal('š') }} as actual,
        decode(unhex('C5A1'), 'UTF-8') as expected
    union all
    select
        'nothing' as name,
        {{ text_literal('') }} as actual,
        '' as expected

)

select *
from results
where not actual <=> expected
