"""The chips and pairs that each job would compute, by the rules of the plans (macros/plans)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from chiplake.estimate.grid import cells_in_box, cells_of_raster, in_box
from chiplake.estimate.model import Certainty
from chiplake.estimate.rows import (
    CHIP_SCHEMA,
    Lake,
    chips_of,
    last_change,
    later_in_cell,
    pairs_with,
    rows_added_since,
    union,
)
from chiplake.estimate.scenes import chips_of_scenes, pending_scenes
from chiplake.jobs import Window
from chiplake.keys import TEXT, with_key_of, without_key_of
from chiplake.numbers import CHIPS, FILLED
from lakehouse.box import BBox
from lakehouse.days import Days
from lakehouse.settings import Settings
from lakehouse.source_schemas import CLAY_EMBEDDINGS
from python_udfs.fill.rule import FillRule
from python_udfs.own_mask import find_mask

_PLACE: Final = (("longitude", pa.float64()), ("latitude", pa.float64()))
_CHIP_INPUTS: Final = pa.schema(
    [
        *CHIP_SCHEMA,
        *(("source_hash", TEXT), ("datatake_hash", TEXT), ("cut_rule", TEXT), ("scene_ids", pa.list_(TEXT))),
        *_PLACE,
    ]
)
_KEY: Final = pa.schema([("chip_id", TEXT)])
_CUT: Final = pa.schema([*CHIP_SCHEMA, ("source_hash", TEXT), ("error", TEXT)])
_FILL_INPUTS: Final = pa.schema([*CHIP_SCHEMA, ("input_hash", TEXT), ("rule_version", TEXT)])
_FILLED: Final = pa.schema([*CHIP_SCHEMA, ("input_hash", TEXT), ("complete_fraction", pa.float64())])
_ANSWERS: Final = pa.schema([("chip_id", TEXT), ("model_id", TEXT), ("input_hash", TEXT), ("error", TEXT)])
_EMBEDDED: Final = pa.schema([("chip_id", TEXT), ("model_id", TEXT), ("input_hash", TEXT)])
_COMPARED: Final = pa.schema([("chip_id", TEXT), ("model_id", TEXT), ("distances_hash", TEXT)])
_DISTANCES: Final = pa.schema([*CHIP_SCHEMA, ("model_id", TEXT), ("distances_hash", TEXT)])
_PAIR: Final = pa.schema([*CHIP_SCHEMA, ("model_id", TEXT)])
_PAIR_KEY: Final = ("chip_id", "model_id")


@dataclass(frozen=True)
class Work:
    """What a job would compute.

    Attributes:
        chips: CHIP_SCHEMA; of pairs, the later chip.
        certainty: how exact their number is.
        scenes: scenes whose rasters are read; None if the job reads none.
        retried: chips among them that have an error.
        sources: number of earlier chips that are also read.
    """

    chips: pa.Table
    certainty: Certainty = Certainty.EXACTLY
    scenes: int | None = None
    retried: int = 0
    sources: int = 0

    @property
    def number(self) -> int:
        """The number of chips or pairs."""
        return len(self.chips)


# Filling keeps the newest and the second newest value of each pixel of a cell, so it reads about two earlier chips.
_SOURCES_OF_A_CELL: Final = 2
NO_WORK: Final = Work(CHIP_SCHEMA.empty_table())


def chips_to_cut(lake: Lake, window: Window) -> Work:
    """Return the chips that chip_extraction would cut: planned ones that fct_chips lacks, and those of new scenes."""
    settings = lake.settings
    box = settings.cutting.bbox
    conditions = window.conditions("acquired_at")
    planned = lake.read("int_chip_inputs", _CHIP_INPUTS, conditions)
    scenes = pending_scenes(lake, window, planned["datatake_hash"])
    planned = _inside(planned, box)
    cut = lake.read(CHIPS, _CUT, conditions)
    is_readable = pc.is_null(cut["error"])
    pending = without_key_of(planned, cut.filter(is_readable), "chip_id", "source_hash")
    if window.recompute:
        other = _of_other_rules(planned, "cut_rule", lambda rule: _is_cut_rule(rule, settings))
        pending = pa.concat_tables([pending, without_key_of(other, pending, "chip_id")])
    scenes = [scene for scene in scenes if len(cells_of_raster(scene.epsg, scene.bounds, box))]
    of_scenes = {scene.scene_id for scene in scenes} | set(pc.list_flatten(pending["scene_ids"]).unique().to_pylist())
    chips = union(chips_of(pending), chips_of_scenes(scenes, box))
    retried = with_key_of(chips, cut.filter(pc.invert(is_readable)), "chip_id")
    return Work(chips, Certainty.ABOUT if scenes else Certainty.EXACTLY, len(of_scenes), len(retried))


def chips_to_fill(lake: Lake, window: Window, to_cut: Work) -> Work:
    """Return the chips that temporal_merge would fill: new ones, and later ones of their cells that they may fill.

    Args:
        lake: the lake.
        window: of the job.
        to_cut: chips that are cut before.
    """
    settings = lake.settings
    planned = lake.read("int_fill_inputs", _FILL_INPUTS)
    filled = lake.read(FILLED, _FILLED, window.conditions("acquired_at"))
    pending = without_key_of(planned, filled, "chip_id", "input_hash")
    if window.recompute:
        rule = _fill_rule(settings)
        other = _of_other_rules(planned, "rule_version", lambda text: FillRule.model_validate_json(text) == rule)
        pending = pa.concat_tables([pending, without_key_of(other, pending, "chip_id")])
    cut = lake.read(CHIPS, _CUT)
    cut = chips_of(cut.filter(pc.is_null(cut["error"])))
    since = last_change(lake.table("int_fill_inputs"))
    again = with_key_of(cut, rows_added_since(lake.table(CHIPS), since, _KEY), "chip_id")
    new = union(to_cut.chips, without_key_of(cut, planned, "chip_id"), again)
    later = later_in_cell(cut, new, _history_days(settings))
    chips = _of_days(union(new, chips_of(pending), later), window)
    chips = _in_cells(chips, settings.cutting.bbox)
    others = with_key_of(without_key_of(cut, chips, "chip_id"), chips, "cell_id")
    counts = others["cell_id"].value_counts().field("counts").to_numpy()
    certainty = Certainty.ABOUT if len(new) else Certainty.EXACTLY
    return Work(chips, certainty, sources=int(counts.clip(max=_SOURCES_OF_A_CELL).sum()))


def chips_to_embed(lake: Lake, days: Days, to_fill: Work, model_id: str) -> Work:
    """Return the chips that embedding_generation would embed: complete ones that the model has no embedding of.

    Args:
        lake: the lake.
        days: of the job.
        to_fill: chips that are filled before; each may become complete enough, or have other pixels.
        model_id: the model.
    """
    embedding = lake.settings.embedding
    filled = lake.read(FILLED, _FILLED, days.conditions("acquired_at"))
    wanted = filled.filter(pc.greater_equal(filled["complete_fraction"], embedding.min_complete))
    answers = lake.read(CLAY_EMBEDDINGS, _ANSWERS)
    of_model = answers.filter(pc.and_(pc.equal(answers["model_id"], model_id), pc.is_null(answers["error"])))
    pending = without_key_of(wanted, of_model, "chip_id", "input_hash")
    chips = _in_cells(union(to_fill.chips, chips_of(pending)), embedding.bbox)
    failed = answers.filter(pc.and_(pc.equal(answers["model_id"], model_id), pc.is_valid(answers["error"])))
    retried = with_key_of(pending, failed, "chip_id", "input_hash")
    return Work(chips, Certainty.AT_MOST if len(to_fill.chips) else Certainty.EXACTLY, retried=len(retried))


def pairs_to_compare(lake: Lake, to_embed: Work, model_id: str) -> Work:
    """Return the pairs that change_detection would compare: of new embeddings and of those that they come before.

    Args:
        lake: the lake.
        to_embed: chips that are embedded before.
        model_id: the model that embeds them.
    """
    answers = lake.read(CLAY_EMBEDDINGS, _ANSWERS)
    answers = answers.filter(pc.is_null(answers["error"])).select(_EMBEDDED.names)
    embedded = answers.join(lake.read(FILLED, _FILLED), ["chip_id", "input_hash"], join_type="inner")
    known = lake.read("fct_chip_embeddings", _EMBEDDED)
    of_model = pa.array([model_id] * to_embed.number, TEXT)
    to_come = to_embed.chips.append_column("model_id", of_model).select(_PAIR.names)
    loaded = without_key_of(embedded, known, *_EMBEDDED.names).select(_PAIR.names)
    new = pa.concat_tables([to_come, without_key_of(loaded, to_come, *_PAIR_KEY)])
    planned = lake.read("int_distance_inputs", _DISTANCES)
    compared = lake.read("int_chip_distances", _COMPARED)
    pending = without_key_of(planned, compared, *_COMPARED.names).select(_PAIR.names)
    pairs = pairs_with(embedded.select(_PAIR.names), new)
    pairs = pa.concat_tables([pairs, without_key_of(pending, pairs, *_PAIR_KEY)])
    certainty = Certainty.AT_MOST if len(to_come) else Certainty.ABOUT if len(loaded) else Certainty.EXACTLY
    return Work(pairs, certainty)


def _inside(rows: pa.Table, box: BBox | None) -> pa.Table:
    """Return the rows whose place lies in a box."""
    if box is None:
        return rows
    return rows.filter(pa.array(in_box(rows["longitude"].to_numpy(), rows["latitude"].to_numpy(), box)))


def _in_cells(chips: pa.Table, box: BBox | None) -> pa.Table:
    """Return the chips of cells whose centre lies in a box."""
    if box is None:
        return chips
    cells = chips["cell_id"].unique()
    return chips.filter(pc.is_in(chips["cell_id"], value_set=cells.filter(pa.array(cells_in_box(cells, box)))))


def _of_days(chips: pa.Table, days: Days) -> pa.Table:
    for bound, compare in ((days.start_time, pc.greater_equal), (days.end_time, pc.less)):
        if bound is not None:
            chips = chips.filter(compare(chips["acquired_at"], pa.scalar(bound, chips["acquired_at"].type)))
    return chips


def _of_other_rules(rows: pa.Table, column: str, is_current: Callable[[str], bool]) -> pa.Table:
    """Return the rows whose rule is not that of the settings."""
    others = [rule for rule in rows[column].unique().to_pylist() if not is_current(rule)]
    return rows.filter(pc.is_in(rows[column], value_set=pa.array(others, TEXT)))


def _is_cut_rule(text: str, settings: Settings) -> bool:
    """Return whether a rule in JSON, as macro cut_rule writes it, is that of the settings."""
    cutting = settings.cutting
    rule = {"probabilities": False} | json.loads(text)
    return bool(
        rule
        == {
            "bands": list(cutting.bands),
            "valid_scl_classes": list(cutting.valid_scl_classes),
            "probabilities": cutting.probabilities,
        }
    )


def _fill_rule(settings: Settings) -> FillRule:
    """Return the rule of the settings. Its fields are settings of filling, but for the classes and the mask."""
    filling = settings.filling
    names = FillRule.model_fields.keys() & type(filling).model_fields.keys() - {"mask"}
    mask = find_mask(filling.mask, settings.runtime.function_names).version if filling.mask else None
    return FillRule(
        method="newest-valid-v1",
        valid_scl_classes=settings.cutting.valid_scl_classes,
        mask=mask,
        **{name: getattr(filling, name) for name in names},
    )


def _history_days(settings: Settings) -> int:
    """Return how many days later a chip may change a filled one, as macro fill_history_days."""
    return settings.filling.max_age_days * (2 if settings.filling.suspects == "peers" else 1)
