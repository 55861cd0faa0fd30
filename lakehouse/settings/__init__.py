"""Every setting of Chiplake, in one place.

A setting comes from the environment (`CHIPLAKE_…`) or from its default here. dbt variables take their
defaults from here too (macro `setting`), so a value is never said twice.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.bands import BAND_BY_NAME, BAND_NAMES, CLOUD_REACH_PIXELS

PROJECT_DIR = Path(__file__).resolve().parents[2]
CATALOG_NAME = "lake"

Fraction = Annotated[float, Field(ge=0, le=1)]
PropertyType = Literal["string", "double", "long", "boolean", "timestamp"]
BBox = tuple[float, float, float, float]  # west, south, east, north, degrees

# They go into requests to AWS, into names there and into policies: nothing but the plain characters of each.
_S3_URI = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=+-]+)*"
_ECR_IMAGE = (
    r"[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9]([a-z0-9._/-]*[a-z0-9])?"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})?"
)
_ROLE_ARN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+"
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
MAX_REQUESTS_MB = 100  # MaxConcurrentTransforms x MaxPayloadInMB


def column_of_property(name: str) -> str:
    """Column of a STAC property that is drawn out: `s2:snow_ice_percentage` is `s2_snow_ice_percentage`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


class Settings(BaseSettings):
    """Settings of one process. All have defaults; `chiplake doctor` prints those in force."""

    model_config = SettingsConfigDict(env_prefix="CHIPLAKE_", extra="ignore")

    home: Path = Field(PROJECT_DIR / ".chiplake", description="embedded catalog, warehouse, transform objects")
    jars_dir: Path = Field(PROJECT_DIR / ".chiplake" / "jars", description="where the Spark jars are kept")
    catalog: Literal["sql", "glue", "rest"] = Field("sql", description="kind of Iceberg catalog")
    catalog_uri: str | None = Field(None, description="address of a rest catalog, or endpoint of glue")
    warehouse: str | None = Field(None, description="warehouse location where the catalog is not embedded")

    spark_master: str = Field("local[*]", description="Spark master: local[*], spark://host:port, yarn, k8s://…")
    spark_driver_memory: str = Field("4g", description="memory of the Spark driver's JVM")
    shuffle_partitions: int = Field(8, ge=1, description="shuffle partitions of Spark SQL")

    href_signer: str = Field(
        "none",
        pattern=r"^(none|planetary_computer|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="who signs addresses of rasters when they are opened: none, planetary_computer, module:function",
    )
    stac_collection: str = Field("sentinel-2-l2a", description="STAC collection to search")
    stac_properties: dict[str, PropertyType] = Field(
        {}, description="further STAC properties to draw out as columns of raw.stac_items: name to type"
    )

    bands: tuple[str, ...] = Field(BAND_NAMES, description="bands to cut")
    bbox: BBox | None = Field(None, description="only chips whose centre lies in this box are cut")
    raster_block_pixels: int = Field(
        1024, ge=128, description="side of the rasters' blocks, pixels; tasks of cutting end where blocks do"
    )
    valid_scl_classes: tuple[int, ...] = Field(
        (2, 4, 5, 6, 7, 11), description="SCL classes of a valid pixel; without 11, snow is filled like clouds"
    )
    fill_max_age_days: int = Field(60, ge=1, le=250, description="oldest pixel that may fill a gap, days")
    fill_cloud_dilation_pixels: int = Field(
        0, ge=0, le=CLOUD_REACH_PIXELS, description="pixels so near to a cloud or its shadow are filled, 20 m pixels"
    )
    fill_min_complete: Fraction = Field(1.0, description="least share of valid or filled pixels of is_complete")

    clay_checkpoint: Path | None = Field(None, description="Clay checkpoint; none: seeded, untrained weights")
    clay_latlon_order: Literal["longitude_first", "latitude_first"] = Field(
        "longitude_first", description="order of Clay's place vector; longitude came first in training"
    )
    clay_hour: Literal["training", "acquired"] = Field(
        "training", description="hour of Clay's time vector: 12 as in training, or the hour of acquisition"
    )
    clay_precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of Clay's encoder; bfloat16 is many times as fast on a GPU"
    )
    embed_min_complete: Fraction = Field(0.95, description="filled chips less complete are not embedded")
    embed_bbox: BBox | None = Field(None, description="only chips whose centre lies in this box are embedded")
    embed_int8: bool = Field(False, description="also keep embeddings in int8, for search elsewhere")
    embed_chips_per_object: int = Field(16, ge=1, description="chips in one object of a batch transform")

    transform_on: Literal["local", "sagemaker"] = Field("local", description="where exported chips are embedded")
    transform_through: Literal["boto3", "sagemaker-core"] = Field(
        "boto3", description="library that starts a SageMaker transform job; the request is the same"
    )
    transform_s3_uri: str | None = Field(
        None, pattern=f"^{_S3_URI}/?$", description="s3://bucket/prefix for objects of SageMaker transform jobs"
    )
    transform_image: str | None = Field(
        None, pattern=f"^{_ECR_IMAGE}$", description="ECR image of the inference server, see docker/clay.Dockerfile"
    )
    transform_role_arn: str | None = Field(
        None, pattern=f"^{_ROLE_ARN}$", description="ARN of the execution role of SageMaker transform jobs"
    )
    transform_model_data_uri: str | None = Field(
        None,
        pattern=rf"^{_S3_URI}\.tar\.gz$",
        description="s3://… of what `chiplake embed package` made; none: the image's code, untrained weights",
    )
    transform_instance_type: str = Field(
        "ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description="instance type of transform jobs"
    )
    transform_instance_count: int = Field(1, ge=1, description="instances of a transform job")
    transform_max_concurrent: int = Field(2, ge=1, le=100, description="requests at once to one instance")
    transform_max_payload_mb: int = Field(
        25, ge=1, le=100, validate_default=True, description="largest request, MB; 100 MB at most for all at once"
    )
    transform_timeout_s: int = Field(3600, ge=1, le=3600, description="longest that one request may take, seconds")
    transform_retries: int = Field(3, ge=0, le=3, description="how often SageMaker sends a failed request again")
    transform_poll_s: float = Field(15.0, gt=0, description="how often a transform job is asked for its state, seconds")

    change_min_valid_fraction: Fraction = Field(0.5, description="least own valid share of a comparable chip")
    change_min_history: int = Field(2, ge=1, description="fewest earlier pairs for a score")
    change_history: int = Field(24, ge=1, description="how many pairs back a score looks")
    change_year_window_days: int = Field(30, ge=0, description="how far from a year before its chip may lie, days")
    change_min_distance: float = Field(0.01, ge=0, description="least cosine distance of a change")
    change_min_score: float = Field(6.0, gt=0, description="least robust score of a change")

    maintain_older_than_days: int = Field(7, ge=1, description="snapshots older than this expire, days")
    maintain_retain_last: int = Field(5, ge=1, description="so many of a table's newest snapshots never expire")
    maintain_orphan_days: int = Field(3, ge=1, description="files nothing refers to go when older than this, days")

    incomplete_exit_code: int = Field(
        3,
        ge=0,
        le=125,
        description="exit code when all was done but for some chips; 0 where a failure is all it can be",
    )

    @field_validator("transform_max_payload_mb")
    @classmethod
    def _fits_at_once(cls, payload: int, info: ValidationInfo) -> int:
        concurrent = info.data.get("transform_max_concurrent", 1)
        if payload * concurrent > MAX_REQUESTS_MB:
            raise ValueError(
                f"{concurrent} requests at once of {payload} MB are more than SageMaker's {MAX_REQUESTS_MB} MB; "
                "lower this or CHIPLAKE_TRANSFORM_MAX_CONCURRENT"
            )
        return payload

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [band for band in bands if band not in BAND_BY_NAME]
        if unknown or not bands:
            raise ValueError(f"unknown bands {unknown}; choose from {', '.join(BAND_NAMES)}")
        return tuple(name for name in BAND_NAMES if name in bands)  # always in the order of the band table

    @field_validator("stac_properties")
    @classmethod
    def _nameable(cls, properties: dict[str, PropertyType]) -> dict[str, PropertyType]:
        by_column: dict[str, str] = {}
        for name in properties:
            column = column_of_property(name)
            if not re.fullmatch(r"[a-z][a-z0-9_]*", column):
                raise ValueError(f"the property {name!r} gives no name for a column; it must start with a letter")
            if column in by_column:
                raise ValueError(f"the properties {by_column[column]!r} and {name!r} give the same column {column}")
            by_column[column] = name
        return properties

    @field_validator("bbox", "embed_bbox")
    @classmethod
    def _on_earth(cls, box: BBox | None) -> BBox | None:
        if box is not None:
            west, south, east, north = box
            if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
                raise ValueError(f"{list(box)} is no box of west, south, east, north in degrees")
        return box

    @field_validator("valid_scl_classes")
    @classmethod
    def _scl_classes(cls, classes: tuple[int, ...]) -> tuple[int, ...]:
        if not classes or any(not 1 <= one <= 11 for one in classes):
            raise ValueError(f"{list(classes)} are not all classes of SCL that hold data, 1 to 11")
        return tuple(sorted(set(classes)))

    @field_validator("home", "jars_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of the embedded catalog."""
        return self.home / "catalog.db"

    @property
    def warehouse_location(self) -> str:
        """Where table files go: a URI or an absolute path."""
        return self.warehouse or str(self.home / "warehouse")

    @property
    def transform_dir(self) -> Path:
        """Where export writes objects of chips and the local transform its answers."""
        return self.home / "transform"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Tests that change the environment call `cache_clear()`."""
    return Settings()
