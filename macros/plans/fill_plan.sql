{#
    A fold is the chips of a cell that one rule fills; a chip may have a role in several folds. Roles:
    - pending: the chip is to be filled.
    - seed: the newest up-to-date filled chip before the first pending one. The fold continues from it, so a night with
      one new date reads two chips a cell, however long the history is.
    - source: a chip after the seed (without a seed, any chip that is not too old) that only later chips need.

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
            min(acquired_at) - make_dt_interval({{ parse_fill_rule('rule_version') }}.max_age_days) as oldest_at
        from pending
        group by cell_id, rule_version

    ),

    {% if updates_table() %}
    seeds as (

        select
            spans.cell_id,
            spans.rule_version,
            max_by(done.chip_id, struct(done.acquired_at, done.chip_id)) as chip_id,
            max(done.acquired_at) as acquired_at
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
            if(pending.chip_id is null, 'source', 'pending') as role
        from {{ ref(inputs.model) }} as inputs
        inner join spans on inputs.cell_id = spans.cell_id
        left join pending on inputs.chip_id = pending.chip_id and spans.rule_version = pending.rule_version
        {% if updates_table() %}
        left join seeds on spans.cell_id = seeds.cell_id and spans.rule_version = seeds.rule_version
        {% endif %}
        where inputs.acquired_at <= spans.last_at
            and inputs.acquired_at >= spans.oldest_at
            {% if updates_table() %}
            and (
                seeds.cell_id is null
                or struct(inputs.acquired_at, inputs.chip_id) > struct(seeds.acquired_at, seeds.chip_id)
            )
            {% endif %}

    ),

    all_chips as (

        select * from sources
        {% if updates_table() %}
        union all
        select
            cell_id,
            rule_version,
            chip_id,
            acquired_at,
            cast(null as string) as input_hash,
            'seed' as role
        from seeds
        {% endif %}

    ),

    located as (

        select
            all_chips.*,
            left(grid_cells.geohash, 4) as geohash_4
        from all_chips
        inner join {{ ref('dim_grid_cells') }} as grid_cells on all_chips.cell_id = grid_cells.cell_id

    ),

    task_groups as (

        select
            geohash_4,
            {{ task_group('count(*)', 'geohash_4') }} as task_group
        from located
        group by geohash_4

    )

    select
        located.*,
        task_groups.task_group
    from located
    inner join task_groups on located.geohash_4 = task_groups.geohash_4
{% endmacro %}
