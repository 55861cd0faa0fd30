-- Each change is a comparable pair with enough history, distance and score. Its predecessor is an earlier chip of the
-- same cell.
select
    changes.chip_id,
    changes.model_id,
    changes.predecessor_chip_id
from {{ ref('fct_chip_changes') }} as changes
inner join {{ ref('fct_filled_chips') }} as predecessors on changes.predecessor_chip_id = predecessors.chip_id
where
    predecessors.cell_id != changes.cell_id
    or predecessors.acquired_at > changes.acquired_at
    or changes.is_change and (
        not changes.is_comparable
        or changes.history_count < {{ setting('change_min_history') | int }}
        or changes.cosine_distance < {{ setting('change_min_distance') | float }}
        or coalesce(changes.change_score < {{ setting('change_min_score') | float }}, true)
    )
    or changes.history_count > {{ setting('change_history') | int }}
    or (changes.change_score is not null and changes.history_count < {{ setting('change_min_history') | int }})
