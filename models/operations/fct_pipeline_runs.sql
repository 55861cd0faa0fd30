{{ config(unique_key='run_id') }}

{# Each is counted by one stage when it ends. -#}
{% set counted = [
    'scenes', 'chips_cut', 'chips_unreadable', 'chips_filled', 'chips_complete', 'complete_fraction',
    'chips_embedded', 'chips_not_embedded', 'not_embedded_reasons', 'pairs_compared', 'changes'
] %}
{% set written = [
    'items_written', 'items_rejected', 'scenes_written', 'chips_written', 'filled_chips_written',
    'embeddings_written', 'changes_written', 'bytes_written'
] %}
{% set tested = ['tests_passed', 'tests_warned', 'tests_failed'] %}

with attempts as (

    select * from {{ ref('stg_ops__stages') }}

),

-- A stage ends as its last attempt does; a run ends as the worst of its stages does.
ranked as (

    select
        *,
        row_number() over (partition by run_id, stage order by started_at desc, attempt_id asc) = 1 as is_last_attempt,
        array_position(array('unchanged', 'done', 'incomplete', 'running', 'failed'), state) as severity
    from attempts

),

runs as (

    select
        run_id,
        min(started_at) as started_at,
        if(bool_or(is_last_attempt and state = 'running'), null, max(ended_at)) as ended_at,
        max_by(state, severity) filter (where is_last_attempt) as state,
        count(distinct stage) as stages,
        min_by(stage, started_at) filter (where is_last_attempt and state = 'failed') as failed_stage,
        min_by(error, struct(-severity, started_at)) filter (where is_last_attempt and error is not null) as error,
        min(start_date) as start_date,
        max(end_date) as end_date,
        bool_or(is_recompute) as is_recompute,
        max_by(code_version, started_at) as code_version,
        max_by(code_digest, started_at) as code_digest,
        -- The encoder on AWS has an image of its own.
        max_by(image, started_at) filter (where stage != 'batch_transform') as image,
        {% for name in counted -%}
        max_by({{ name }}, started_at) filter (where {{ name }} is not null) as {{ name }},
        {% endfor -%}
        {% for name in written -%}
        coalesce(sum({{ name }}), 0) as {{ name }},
        {% endfor -%}
        {% for name in tested -%}
        coalesce(sum({{ name }}) filter (where is_last_attempt), 0) as {{ name }},
        {% endfor -%}
        count(*) as attempts
    from ranked
    group by run_id

),

final as (

    select
        run_id,
        started_at,
        ended_at,
        timestampdiff(second, started_at, ended_at) as seconds,
        state,
        stages,
        attempts,
        failed_stage,
        error,
        start_date,
        end_date,
        is_recompute,
        code_version,
        code_digest,
        {% for name in counted + written + tested -%}
        {{ name }},
        {% endfor -%}
        image
    from runs

)

select * from final
