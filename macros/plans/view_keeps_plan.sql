{#
    Spark keeps the text of a temporary view, and analyses it again for each statement that reads the view, which takes
    seconds where the text covers many models. While this is on, views that are created keep their analysed plan, and in
    it the tables as they were at that moment.
#}
{% macro view_keeps_plan(is_on) %}
    {% do run_query('set spark.sql.legacy.storeAnalyzedPlanForView = ' ~ (is_on | string | lower)) %}
{% endmacro %}
