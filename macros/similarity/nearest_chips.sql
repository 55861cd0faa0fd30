{#
    The search is exact: it looks at all embeddings of the model once. Spark interprets SQL for each number of an array,
    so Python reads the numbers: SQL says which rows count (`_file`, `_pos`), a function returns the nearest of each
    data file, and SQL returns the nearest of all.
#}
{% macro nearest_chips(chip_id, k, model_id=none, int8=false) %}
    {%- if k is boolean or not modules.re.fullmatch('[1-9][0-9]{0,8}', k | string) -%}
        {{ exceptions.raise_compiler_error("nearest_chips: k is '" ~ k ~ "'; write a whole number of at least 1") }}
    {%- endif -%}
    {%- if int8 is not boolean -%}
        {{ exceptions.raise_compiler_error("nearest_chips: int8 is '" ~ int8 ~ "'; write true or false") }}
    {%- endif -%}
    {%- set by_model = '' if model_id is none else " by the model '" ~ model_id ~ "'" -%}
    {%- set no_embedding = "nearest_chips: there is no embedding of the chip '" ~ chip_id ~ "'" ~ by_model
        ~ "; column error of raw.clay_embeddings says why a chip has none" -%}
    {%- set no_int8 = "nearest_chips: the chip '" ~ chip_id ~ "' has no embedding in int8; set CHIPLAKE_EMBED_INT8=true"
        ~ " and run dbt run -s fct_chip_embeddings, or search without int8" -%}
    with chips as (

        select
            *,
            _file as file,
            _pos as position
        from {{ ref('fct_chip_embeddings') }}
        {%- if model_id is not none %}
        where model_id = {{ text_literal(model_id) }}
        {%- endif %}

    ),

    found as (

        select
            chip_id,
            model_id,
            file,
            position,
            {{ 'embedding_scale is not null' if int8 else 'true' }} as is_searchable
        from chips
        where chip_id = {{ text_literal(chip_id) }}
        order by embedded_at desc, model_id asc
        limit 1

    ),

    -- An aggregate of no rows is one row: so an unknown chip is an error, not an empty answer.
    wanted as (

        select
            coalesce(max(chip_id), raise_error({{ text_literal(no_embedding) }})) as chip_id,
            max(model_id) as model_id,
            max(file) as file,
            if(min(is_searchable) = false, raise_error({{ text_literal(no_int8) }}), max(position)) as position
        from found

    ),

    files as (

        select /*+ broadcast(wanted) */
            chips.file,
            collect_list(chips.position) as positions
        from chips
        inner join wanted on chips.model_id = wanted.model_id and chips.chip_id != wanted.chip_id
        group by chips.file

    ),

    nearest_of_files as (

        select /*+ broadcast(wanted) */
            files.file,
            nearest_embeddings(
                files.file,
                files.positions,
                wanted.file,
                wanted.position,
                '{{ 'embedding_int8' if int8 else 'embedding' }}',
                {{ k }}
            ) as nearest
        from files
        cross join wanted

    ),

    near as (

        select
            file,
            inline(nearest)
        from nearest_of_files

    )

    select /*+ broadcast(near) */
        chips.chip_id,
        chips.model_id,
        chips.cell_id,
        chips.geohash,
        chips.acquired_at,
        near.cosine_distance
    from chips
    inner join near on chips.file = near.file and chips.position = near.position
    order by near.cosine_distance asc nulls last, chips.chip_id asc
    limit {{ k }}
{% endmacro %}
