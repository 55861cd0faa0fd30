{# Seasons are those of meteorology: December to February, March to May, and so on. #}
{% macro period_start_at(period, acquired_at) -%}
    case {{ period }}
        when 'month' then date_trunc('month', {{ acquired_at }})
        when 'season' then date_trunc('quarter', {{ acquired_at }} + interval 1 month) - interval 1 month
        when 'year' then date_trunc('year', {{ acquired_at }})
    end
{%- endmacro %}
