{%- set inputs = {
    'model': 'stg_stac__items', 'key': ['collection', 'item_id'], 'version': 'content_hash',
    'columns': ['collection', 'item_id', 'content_hash', 'assets'],
    'where': header_is_needed('inputs'), 'is_costly': true, 'retry_errors': true
} -%}

{{ config(unique_key=['collection', 'item_id'], inputs=inputs) }}

with items as (

    -- A task waits for a server most of the time, so the requests of several tasks overlap.
    select /*+ repartition({{ setting('shuffle_partitions') | int }}) */ *
    from {{ plan('pending_inputs', inputs) }}

),

-- One band speaks for all; each file is compared with it when it is cut.
headers as (

    select
        collection,
        item_id,
        content_hash,
        raster_header(get({{ band_assets('items') }}, 0).href) as header
    from items

),

final as (

    select
        collection,
        item_id,
        content_hash,
        header.data_type,
        header.scale,
        header.offset,
        header.error
    from headers

)

select * from final
