{{ config(materialized='ephemeral') }}

with items as (

    select * from {{ ref('stg_stac__items') }}

),

overrides as (

    select * from {{ ref('stg_stac__boa_offset_overrides') }}

),

-- The most specific line of the user's file: for the item, else for its collection, else for its day. Of two lines for
-- the same item or collection, the one with days counts; of equally specific lines, the last one in the file.
overridden as (

    select
        items.collection,
        items.item_id,
        max_by(
            overrides.boa_offset,
            struct(
                overrides.item_id is not null,
                overrides.collection is not null,
                overrides.start_date is not null or overrides.end_date is not null,
                overrides.position
            )
        ) as override_offset
    from items
    inner join overrides
        on
            coalesce(overrides.item_id, items.item_id) = items.item_id
            and coalesce(overrides.collection, items.collection) = items.collection
            and coalesce(overrides.start_date <= date(items.acquired_at), true)
            and coalesce(overrides.end_date >= date(items.acquired_at), true)
    group by items.collection, items.item_id

),

described as (

    select
        items.*,
        overridden.override_offset
    from items
    left join overridden
        on items.collection = overridden.collection and items.item_id = overridden.item_id

),

final as (

    select
        collection,
        item_id,
        override_offset,
        {{ boa_offset('described') }} as boa_offset,
        {{ boa_offset_reason('described') }} as boa_offset_reason
    from described

)

select * from final
