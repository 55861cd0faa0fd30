{# An insert into this view does the work. lakehouse/publication.py explains the branches. #}
{% macro sink_view(name, options) %}
    {%- set all_options = {
        'table': this.schema ~ '.' ~ this.identifier,
        'run_id': invocation_id,
        'code_version': env_var('CHIPLAKE_CODE_VERSION', ''),
        'staged': run_branch(),
    } -%}
    {%- do all_options.update(options) -%}
    create or replace temporary view {{ plan_view(name) }} using chiplake options (
        {% for option, value in all_options.items() %}
        {{ option }} '{{ value if value is not none else '' }}'{{ ',' if not loop.last }}
        {% endfor %}
    )
{% endmacro %}
