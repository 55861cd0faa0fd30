{#
    Spark keeps the text of a temporary view, and analyses it again for each statement that reads the view, which takes
    seconds where the text covers many models. While this is on, views that are created keep their analysed plan: their
    columns stay, their rows are read by each statement as before. All threads of a run share the session, and a failed
    statement leaves this on: a view of another model then has fixed columns, too, or this one its text. Both are right.
#}
{% macro view_keeps_plan(is_on) %}
    {% do run_query('set spark.sql.legacy.storeAnalyzedPlanForView = ' ~ (is_on | string | lower)) %}
{% endmacro %}
