{#
    The search is exact: it scans all embeddings of the model once. The chip's own embedding is divided by its length
    and broadcast, so that the scan computes two products for each row instead of three.
#}
{% macro nearest_chips(chip_id, k, model_id=none) %}
    {%- if k is boolean or not modules.re.fullmatch('[1-9][0-9]{0,8}', k | string) -%}
        {{ exceptions.raise_compiler_error("nearest_chips: k is '" ~ k ~ "'; write a whole number of at least 1") }}
    {%- endif -%}
    {%- set by_model = '' if model_id is none else " by the model '" ~ model_id ~ "'" -%}
    {%- set no_embedding = "nearest_chips: there is no embedding of the chip '" ~ chip_id ~ "'" ~ by_model
        ~ "; column error of raw.clay_embeddings says why a chip has none" -%}
    with found as (

        select
            chip_id,
            model_id,
            {{ l2_normalise('embedding') }} as direction
        from {{ ref('fct_chip_embeddings') }}
        where chip_id = {{ text_literal(chip_id) }}
        {%- if model_id is not none %} and model_id = {{ text_literal(model_id) }}{% endif %}
        order by embedded_at desc, model_id asc
        limit 1

    ),

    wanted as (

        -- An aggregate of no rows is one row: so an unknown chip is an error, not an empty answer.
        select
            coalesce(max(chip_id), raise_error({{ text_literal(no_embedding) }})) as chip_id,
            max(model_id) as model_id,
            max(direction) as direction
        from found

    )

    select /*+ broadcast(wanted) */
        chips.chip_id,
        chips.model_id,
        chips.cell_id,
        chips.geohash,
        chips.acquired_at,
        1 - {{ dot_product('wanted.direction', 'chips.embedding') }}
            / nullif(sqrt({{ squared_norm('chips.embedding') }}), 0) as cosine_distance
    from {{ ref('fct_chip_embeddings') }} as chips
    inner join wanted on chips.model_id = wanted.model_id and chips.chip_id != wanted.chip_id
    {%- if model_id is not none %}
    where chips.model_id = {{ text_literal(model_id) }}
    {%- endif %}
    order by cosine_distance asc nulls last, chips.chip_id asc
    limit {{ k }}
{% endmacro %}
