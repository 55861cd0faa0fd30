{#
    A fold is the chips of a cell that one rule fills; a chip may have a role in several folds. Roles:
    - pending: the chip is to be filled.
    - source: a chip that only later ones need.
    - carried: the same; its suspect pixels are known.

    The newest filled chip before the first pending one says which chips later ones may need, and their suspect pixels
    (carried_chips). Older chips have neither the newest nor the second newest value of any pixel, so a night with one
    new date reads these few chips a cell, however long the history is.

    The cells of a partition of the table (geohash_4) are folded together, and dealt to groups (task_group). The
    plan reads no pixels.
#}
{% macro fill_plan(inputs) %}
    with pending as (

        select * from {{ plan('pending_inputs', inputs) }}

    ),

    spans as (

        select
            cell_id,
            rule_version,
            min(acquired_at) as first_at,
            max(acquired_at) as last_at,
            min(acquired_at) - make_dt_interval({{ fill_history_days('rule_version') }}) as oldest_at
        from pending
        group by cell_id, rule_version

    ),

    {% if updates_table() %}
    newest_done as (

        select
            spans.cell_id,
            spans.rule_version,
            max_by(
                struct(
                    done.chip_id,
                    done.acquired_at,
                    map_from_entries(
                        concat(
                            array(struct(done.chip_id, done.suspect)),
                            -- Rows of release 0.1.0 have no carried chips, and their rules no suspects.
                            coalesce(
                                done.carried_chips,
                                transform(
                                    done.sources,
                                    source -> struct(source.chip_id as chip_id, cast(null as binary) as suspect)
                                )
                            )
                        )
                    ) as suspects
                ),
                struct(done.acquired_at, done.chip_id)
            ) as chip
        from spans
        inner join {{ ref(inputs.model) }} as inputs
            on spans.cell_id = inputs.cell_id and spans.rule_version = inputs.rule_version
        inner join {{ this }} as done on inputs.chip_id = done.chip_id and inputs.input_hash = done.input_hash
        where done.acquired_at < spans.first_at
            and done.acquired_at >= spans.oldest_at
        group by spans.cell_id, spans.rule_version

    ),
    {% endif %}

    sources as (

        select
            inputs.cell_id,
            spans.rule_version,
            inputs.chip_id,
            inputs.acquired_at,
            inputs.input_hash,
            case
                when pending.chip_id is not null then 'pending'
                {% if updates_table() %}
                when map_contains_key(newest_done.chip.suspects, inputs.chip_id) then 'carried'
                {% endif %}
                else 'source'
            end as role,
            {% if updates_table() %}
            newest_done.chip.suspects[inputs.chip_id] as suspect
            {% else %}
            cast(null as binary) as suspect
            {% endif %}
        from {{ ref(inputs.model) }} as inputs
        inner join spans on inputs.cell_id = spans.cell_id
        left join pending on inputs.chip_id = pending.chip_id and spans.rule_version = pending.rule_version
        {% if updates_table() %}
        left join newest_done
            on spans.cell_id = newest_done.cell_id and spans.rule_version = newest_done.rule_version
        {% endif %}
        where inputs.acquired_at <= spans.last_at
            and inputs.acquired_at >= spans.oldest_at
            {% if updates_table() %}
            and (
                newest_done.cell_id is null
                or struct(inputs.acquired_at, inputs.chip_id)
                > struct(newest_done.chip.acquired_at, newest_done.chip.chip_id)
                or map_contains_key(newest_done.chip.suspects, inputs.chip_id)
            )
            {% endif %}

    ),

    grid_cells as (

        select
            cell_id,
            left(geohash, 4) as geohash_4
        from {{ ref('dim_grid_cells') }}

    ),

    -- Filling and writing a pending chip takes longer than reading its sources.
    task_groups as (

        select
            grid_cells.geohash_4,
            {{ task_group('count(*)', 'grid_cells.geohash_4') }} as task_group
        from pending
        inner join grid_cells on pending.cell_id = grid_cells.cell_id
        group by grid_cells.geohash_4

    )

    select
        sources.*,
        task_groups.geohash_4,
        task_groups.task_group
    from sources
    inner join grid_cells on sources.cell_id = grid_cells.cell_id
    inner join task_groups on grid_cells.geohash_4 = task_groups.geohash_4
{% endmacro %}
