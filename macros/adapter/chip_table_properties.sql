{#
    The values are already compressed (Blosc). So Parquet neither compresses them nor keeps statistics of them, and its
    dictionary is too small to hold them: hashing them for the dictionary took half of the writer's time. Row groups are
    small, because each task keeps one per partition in memory. Tables merge on read, because with copy on write Spark
    runs a table function in the source of a MERGE twice.
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
