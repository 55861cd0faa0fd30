{# An attempt has a row of its start and one of its end, which has all columns. -#}
{{ config(unique_key='attempt_id') }}

with source as (

    select * from {{ source('ops', 'stages') }}

),

numbered as (

    select
        *,
        row_number() over (partition by attempt_id order by ended_at desc nulls last) as place_from_end
    from source
    where schema_name = '{{ target.schema }}'

),

final as (

    select
        run_id,
        stage,
        attempt_id,
        state,
        started_at,
        ended_at,
        error,
        start_date,
        end_date,
        is_recompute,
        code_version,
        code_digest,
        image,
        scenes,
        chips_cut,
        chips_unreadable,
        chips_filled,
        chips_complete,
        complete_fraction,
        chips_embedded,
        chips_not_embedded,
        not_embedded_reasons,
        pairs_compared,
        changes,
        items_written,
        items_rejected,
        scenes_written,
        chips_written,
        filled_chips_written,
        embeddings_written,
        changes_written,
        bytes_written,
        tests_passed,
        tests_warned,
        tests_failed,
        dbt_results
    from numbered
    where place_from_end = 1

)

select * from final
