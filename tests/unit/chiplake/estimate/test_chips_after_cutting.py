"""The chips that temporal_merge and embedding_generation, and the pairs that change_detection would compute."""

from __future__ import annotations

from datetime import date

from pyiceberg.catalog import Catalog
from support.estimate_lakes import DAY_5, DAY_10, DAY_20, FILL_RULE, add, add_source, chip, number_of, only

from chiplake.estimate import Certainty, estimate_job
from chiplake.jobs import Window
from lakehouse.settings import Settings


def test_a_new_chip_is_filled_and_so_are_later_ones_of_its_cell(settings: Settings, catalog: Catalog) -> None:
    known = [chip("32633_200_1998", DAY_10), chip("32633_200_1998", DAY_20), chip("32633_201_1998", DAY_20)]
    late = chip("32633_200_1998", DAY_5)
    add(catalog, "fct_chips", *(row | {"source_hash": "1"} for row in (*known, late)))
    add(catalog, "int_fill_inputs", *(row | {"input_hash": "1", "rule_version": FILL_RULE} for row in known))
    add(catalog, "fct_filled_chips", *(row | {"input_hash": "1", "complete_fraction": 1.0} for row in known))
    assert number_of(settings, "temporal_merge") == (3, "about")
    assert number_of(settings, "temporal_merge", Window(end=date(2023, 8, 10))) == (2, "about")
    # Suspect pixels of a chip depend on chips that are older again: 14 days old, though pixels are at most 7.
    short = settings.replace(fill_max_age_days=7)
    assert number_of(short, "temporal_merge") == (2, "about")
    assert number_of(settings.replace(fill_max_age_days=8), "temporal_merge") == (3, "about")
    assert number_of(short.replace(fill_suspects="none"), "temporal_merge") == (2, "about")
    assert number_of(short.replace(fill_suspects="none", fill_max_age_days=4), "temporal_merge") == (1, "about")


def test_a_chip_that_was_cut_again_is_filled_again(settings: Settings, catalog: Catalog) -> None:
    rows = [chip("32633_200_1998", DAY_5), chip("32633_201_1998", DAY_5)]
    for row in rows:
        add(catalog, "fct_chips", row)
    add(catalog, "int_fill_inputs", *(row | {"input_hash": "1", "rule_version": FILL_RULE} for row in rows))
    add(catalog, "fct_filled_chips", *(row | {"input_hash": "1", "complete_fraction": 1.0} for row in rows))
    assert number_of(settings, "temporal_merge") == (0, "exactly")
    catalog.load_table("chiplake.fct_chips").delete(f"chip_id == '{rows[0]['chip_id']}'")
    add(catalog, "fct_chips", rows[0] | {"source_hash": "2"})
    assert number_of(settings, "temporal_merge") == (1, "about")


def test_chips_that_could_not_be_read_are_not_filled(settings: Settings, catalog: Catalog) -> None:
    add(catalog, "fct_chips", chip("32633_200_1998", DAY_5, error="red: no such file"))
    assert number_of(settings, "temporal_merge") == (0, "exactly")


def test_recomputing_counts_the_filled_chips_of_other_rules(settings: Settings, catalog: Catalog) -> None:
    rows = [chip("32633_200_1998", DAY_5), chip("32633_200_1998", DAY_10)]
    add(catalog, "fct_chips", *rows)
    add(catalog, "int_fill_inputs", *(row | {"input_hash": "1", "rule_version": FILL_RULE} for row in rows))
    add(catalog, "fct_filled_chips", *(row | {"input_hash": "1", "complete_fraction": 1.0} for row in rows))
    recompute = Window(recompute=True)
    assert number_of(settings, "temporal_merge", recompute) == (0, "exactly")
    other = settings.replace(fill_adjust="none")
    assert number_of(other, "temporal_merge") == (0, "exactly")
    assert number_of(other, "temporal_merge", recompute) == (2, "exactly")
    assert number_of(other, "temporal_merge", Window(end=date(2023, 8, 5), recompute=True)) == (1, "exactly")


def test_complete_chips_without_an_embedding_by_this_model_are_embedded(
    settings: Settings, catalog: Catalog, model_id: str
) -> None:
    rows = {name: chip(f"32633_{200 + place}_1998", DAY_5) for place, name in enumerate("abcde")}
    shares = {"a": 1.0, "b": 0.95, "c": 0.9, "d": 1.0, "e": 1.0}
    add(
        catalog,
        "fct_filled_chips",
        *(row | {"input_hash": "1", "complete_fraction": shares[name]} for name, row in rows.items()),
    )
    answers: dict[str, tuple[str, str, str | None]] = {
        "a": (model_id, "1", None),
        "b": (model_id, "0", None),
        "d": ("other", "1", None),
        "e": (model_id, "1", "out of memory"),
    }
    add_source(
        catalog,
        "raw.clay_embeddings",
        *(
            {"chip_id": rows[name]["chip_id"], "model_id": model, "input_hash": digest, "error": error}
            for name, (model, digest, error) in answers.items()
        ),
    )
    stage = only(estimate_job(settings, "embedding_generation", Window()))
    assert (stage.number, stage.certainty, stage.retried) == (3, Certainty.EXACTLY, 1)  # b, d, e
    assert number_of(settings.replace(embed_min_complete=0.9), "embedding_generation") == (4, "exactly")
    assert number_of(settings, "embedding_generation", Window(start=date(2023, 8, 6))) == (0, "exactly")
    # Centres: 200 at 15.172 degrees east, and each further column 0.033 degrees east of the one before.
    assert number_of(settings.replace(embed_bbox=(15.19, 45, 15.22, 47)), "embedding_generation") == (1, "exactly")


def test_new_embeddings_are_compared_with_their_neighbours_in_time(settings: Settings, catalog: Catalog) -> None:
    days = {"a": DAY_5, "b": DAY_10, "c": DAY_20}
    rows = {name: chip("32633_200_1998", at) for name, at in days.items()} | {"d": chip("32633_201_1998", DAY_10)}
    add(catalog, "fct_filled_chips", *(row | {"input_hash": "1", "complete_fraction": 1.0} for row in rows.values()))
    answer = {"model_id": "m", "input_hash": "1"}
    add_source(catalog, "raw.clay_embeddings", *({"chip_id": row["chip_id"]} | answer for row in rows.values()))
    assert number_of(settings, "change_detection") == (2, "about")  # b with a, c with b
    add(catalog, "fct_chip_embeddings", *({"chip_id": rows[name]["chip_id"]} | answer for name in "abcd"))
    assert number_of(settings, "change_detection") == (0, "exactly")
    pair = {"model_id": "m", "distances_hash": "1"}
    add(catalog, "int_distance_inputs", *(rows[name] | pair for name in "bc"))
    assert number_of(settings, "change_detection") == (2, "exactly")
    add(catalog, "int_chip_distances", {"chip_id": rows["b"]["chip_id"]} | pair)
    assert number_of(settings, "change_detection") == (1, "exactly")
