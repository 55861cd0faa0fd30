"""The card of a model: its id without its weights, and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedding.model.card import (
    SEEDED_WEIGHTS,
    Preprocessing,
    Weights,
    card_of,
    card_path,
    read_weights,
    write_weights,
)
from embedding.model.weights import describe_model, load_model
from lakehouse.errors import ChiplakeError
from lakehouse.settings import Settings

LATITUDE_FIRST = Preprocessing(latlon_order="latitude_first")
TRAINED = Weights(name="clay-v1.5-large:sha256:0123456789abcdef", dimension=1024, is_trained=True)


def test_the_card_of_the_seeded_encoder_is_that_of_its_weights() -> None:
    for preprocessing in (Preprocessing(), LATITUDE_FIRST):
        assert SEEDED_WEIGHTS.card(preprocessing) == load_model(None, preprocessing).card


def test_a_card_has_the_id_that_the_checkpoint_has(sample_data: Path, tmp_path: Path) -> None:
    checkpoint = sample_data / "clay" / "encoder-48.ckpt"
    name = describe_model(checkpoint, Preprocessing()).model_id
    path = card_path(tmp_path / checkpoint.name)
    assert path.name == "encoder-48.ckpt.card.json"
    write_weights(path, Weights(name=name, dimension=48, is_trained=True))
    settings = Settings().replace(clay_card=path, clay_latlon_order="latitude_first")
    assert card_of(settings.clay) == describe_model(checkpoint, LATITUDE_FIRST)


def test_a_card_counts_before_the_checkpoint(tmp_path: Path) -> None:
    write_weights(tmp_path / "card.json", TRAINED)
    settings = Settings().replace(clay_card=tmp_path / "card.json", clay_checkpoint=tmp_path / "none.ckpt")
    card = card_of(settings.clay)
    assert (card.model_id, card.dimension, card.weights) == (TRAINED.name, 1024, "checkpoint")


@pytest.mark.parametrize(
    "content", ["", "{}", '{"name": "", "dimension": 8, "is_trained": true}', '{"name": "a", "dimension": 0}', "[1]"]
)
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(ChiplakeError, match=r"card\.json: not the card of a checkpoint .* unset CHIPLAKE_CLAY_CARD"):
        read_weights(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChiplakeError, match=r"card\.json: not the card of a checkpoint \(No such file"):
        read_weights(tmp_path / "card.json")


@pytest.mark.parametrize("has_card", [False, True])
def test_the_pipeline_names_a_model_without_torch(tmp_path: Path, has_card: bool) -> None:
    write_weights(tmp_path / "card.json", TRAINED)
    script = """
import sys
sys.modules["torch"] = None  # its import fails
from embedding.pipeline import run_export, run_load
from embedding.model.card import card_of
from lakehouse.settings import get_settings
print(card_of(get_settings().clay).model_id)
"""
    card = {"CHIPLAKE_CLAY_CARD": str(tmp_path / "card.json")} if has_card else {}
    environment = os.environ | {"CHIPLAKE_HOME": str(tmp_path)} | card
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (TRAINED.name if has_card else SEEDED_WEIGHTS.card(Preprocessing()).model_id)


def test_a_card_is_plain_json(tmp_path: Path) -> None:
    write_weights(tmp_path / "card.json", TRAINED)
    assert json.loads((tmp_path / "card.json").read_text()) == {
        "name": "clay-v1.5-large:sha256:0123456789abcdef",
        "dimension": 1024,
        "is_trained": True,
    }
