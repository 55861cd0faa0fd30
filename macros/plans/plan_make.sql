{#
    The rows are cached on the executors' disks. No table of the lake is written, so a killed run leaves nothing behind.
#}
{% macro plan_make(name, select) %}
    {% do view_create('cache table ' ~ plan_view(name) ~ " options ('storageLevel' 'DISK_ONLY') as " ~ select) %}
    {{ return(plan_view(name)) }}
{% endmacro %}
