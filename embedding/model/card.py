"""What is known of a model without its weights, and so without torch: its id, and the length of its embeddings.

A checkpoint's card is a small JSON file, `NAME.card.json` beside it, written when the checkpoint is packed or uploaded.
The jobs that export chips and load answers need no more of a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedding.wire import UNTRAINED
from lakehouse.causes import root_cause
from lakehouse.errors import ChiplakeError
from lakehouse.files import write_atomically
from lakehouse.settings.clay import ClaySettings
from lakehouse.transform_job import CARD_SUFFIX

# A change that changes a number in `preprocess.py` must raise it.
PREPROCESS_VERSION: Final = 1
SEEDED_PREFIX: Final = "clay-seeded-"  # prefix of names; macro is_trained also has it

LatLonOrder = Literal["longitude_first", "latitude_first"]
Hour = Literal["training", "acquired"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Preprocessing:
    """Choices of the settings that change embeddings: what the encoder sees, and its precision."""

    latlon_order: LatLonOrder = "longitude_first"  # as in training; Clay's tutorials have latitude first
    hour: Hour = "training"  # `training`: 12 for every chip; Clay's tutorials have the hour of acquisition
    precision: Precision = "float32"

    @property
    def tag(self) -> str:
        """The end of a model's id that names the preprocessing; empty for version 1 with its defaults."""
        version = "" if PREPROCESS_VERSION == 1 else f":pre{PREPROCESS_VERSION}"
        order = "" if self.latlon_order == "longitude_first" else f":{self.latlon_order.replace('_', '-')}"
        precision = "" if self.precision == "float32" else f":{self.precision}"
        hour = "" if self.hour == "training" else f":hour-{self.hour}"
        return version + order + hour + precision


@dataclass(frozen=True)
class ModelCard:
    """Facts about a model that are known without loading it."""

    model_id: str  # architecture, version, digest, and the preprocessing where it is not the default
    dimension: int  # length of an embedding
    is_trained: bool  # False for the seeded encoder only

    @property
    def weights(self) -> str:
        """Kind of the weights, for messages: `checkpoint` or `untrained weights`."""
        return "checkpoint" if self.is_trained else UNTRAINED


class Weights(BaseModel):
    """Name and size of weights: the content of a card's file."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=200)  # architecture, version and digest of the file
    dimension: int = Field(gt=0)  # length of an embedding
    is_trained: bool

    def card(self, preprocessing: Preprocessing) -> ModelCard:
        """Return the card of the model with these weights and a preprocessing."""
        tag = preprocessing.tag
        if not self.is_trained and PREPROCESS_VERSION == 1:
            # The version is always part of this id, so that nobody mistakes it for a checkpoint's.
            tag = f":pre{PREPROCESS_VERSION}{tag}"
        return ModelCard(self.name + tag, self.dimension, self.is_trained)


# The seeded encoder of `weights.py`: a test compares this with the digest of its weights.
SEEDED_WEIGHTS: Final = Weights(
    name=f"{SEEDED_PREFIX}96x2:seed2:sha256:dd63e669fc1ee37e", dimension=96, is_trained=False
)


def preprocessing_of(clay: ClaySettings) -> Preprocessing:
    """Return the preprocessing that the settings choose."""
    return Preprocessing(latlon_order=clay.latlon_order, hour=clay.hour, precision=clay.precision)


def card_of(clay: ClaySettings) -> ModelCard:
    """Return the card of the model that the settings choose. Only a checkpoint without a card's file needs torch.

    A card's file counts before the checkpoint.

    Raises:
        ChiplakeError: the card's file or the checkpoint cannot be used.
    """
    preprocessing = preprocessing_of(clay)
    if clay.card is not None:
        return read_weights(clay.card).card(preprocessing)
    if clay.checkpoint is None:
        return SEEDED_WEIGHTS.card(preprocessing)
    from embedding.model.weights import describe_model  # imports torch

    return describe_model(clay.checkpoint, preprocessing)


def card_path(weights_file: Path) -> Path:
    """Return where the card of a checkpoint, or of an archive with it, is: beside it."""
    return weights_file.with_name(weights_file.name + CARD_SUFFIX)


def write_weights(path: Path, weights: Weights) -> None:
    """Write the file of a card."""
    write_atomically(path, weights.model_dump_json(indent=2).encode())


def read_weights(path: Path) -> Weights:
    """Read the file of a card.

    Raises:
        ChiplakeError: it is missing, or no card.
    """
    try:
        return Weights.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ChiplakeError(
            f"{path}: not the card of a checkpoint ({root_cause(error)}); upload the checkpoint again, or unset "
            "CHIPLAKE_CLAY_CARD"
        ) from error
