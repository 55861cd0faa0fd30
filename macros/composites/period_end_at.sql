{% macro period_end_at(period, period_start_at) -%}
    {{ period_start_at }} + case {{ period }}
        when 'month' then interval 1 month
        when 'season' then interval 3 month
        when 'year' then interval 12 month
    end
{%- endmacro %}
