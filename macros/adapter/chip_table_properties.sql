{#
    The values are compressed already (Blosc): no Parquet codec and no statistics on them, a dictionary too small to
    take them in (hashing them for it was half of the writer's time), and small row groups, as each task holds one a
    partition. Merge on read, for a table function in the source of a MERGE runs twice
    otherwise.
#}
{% macro chip_table_properties(pixel_columns) %}
    {%- set properties = {
        'format-version': '2',
        'write.merge.mode': 'merge-on-read',
        'write.delete.mode': 'merge-on-read',
        'write.distribution-mode': 'none',
        'write.merge.distribution-mode': 'none',
        'write.spark.fanout.enabled': 'true',
        'write.parquet.compression-codec': 'uncompressed',
        'write.parquet.row-group-size-bytes': 32 * 1024 * 1024,
        'write.parquet.page-size-bytes': 1024 * 1024,
        'write.parquet.dict-size-bytes': 4096,
    } -%}
    {%- for column in pixel_columns -%}
        {%- do properties.update({'write.metadata.metrics.column.' ~ column: 'none'}) -%}
    {%- endfor -%}
    {{ return(properties) }}
{% endmacro %}
