{#
    Spark keeps the text of a temporary view, and analyses it again for each statement that reads the view, which takes
    seconds where the text covers many models. The views of a run keep their analysed plan: their columns are fixed, and
    each statement still reads the rows as they are then. The setting is off again for views of users.

    The threads of a run share a session, and a statement that fails leaves the setting on. So now and then a view of a
    user keeps its plan, or a view of the run its text. Both give the same rows.
#}
{% macro view_create(statement) %}
    {%- set keeps_plan = 'set spark.sql.legacy.storeAnalyzedPlanForView = ' -%}
    {% do run_query(keeps_plan ~ 'true') %}
    {% do run_query(statement) %}
    {% do run_query(keeps_plan ~ 'false') %}
{% endmacro %}
