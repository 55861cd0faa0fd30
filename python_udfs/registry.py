"""The table of every Python function that SQL can call, by the name SQL calls it."""

from __future__ import annotations

from typing import Final

from lakehouse.settings.runtime import RuntimeSettings
from python_udfs.change.connected import GROUPS, connected_groups
from python_udfs.change.functions import (
    ANOMALY,
    CHIP_PATCHES,
    EVENTS,
    cell_events,
    chip_anomaly,
    chip_patches,
    patch_baseline,
)
from python_udfs.extract.header import RASTER_HEADER, raster_header
from python_udfs.functions.indices import chip_index
from python_udfs.functions.masks import chip_fraction, chip_mask, chip_valid
from python_udfs.functions.rasters import chip_geotiff, chip_rgb_png
from python_udfs.functions.statistics import (
    STATISTICS,
    chip_mean,
    chip_normalized_difference,
    chip_pixel,
    chip_statistics,
)
from python_udfs.search.functions import NEAREST, nearest_embeddings
from python_udfs.sql_function import SqlFunction, load_functions

FUNCTIONS: Final = (
    SqlFunction("raster_header", "scalar", "href string", RASTER_HEADER, raster_header),
    SqlFunction("chip_mask", "scalar", "layer binary, values array<int>", "binary", chip_mask),
    SqlFunction("chip_valid", "scalar", "scl binary, classes array<int>, bands struct<binary>", "binary", chip_valid),
    SqlFunction("chip_fraction", "scalar", "mask binary", "double", chip_fraction),
    SqlFunction("chip_mean", "scalar", "band binary [, valid binary]", "double", chip_mean),
    SqlFunction("chip_statistics", "scalar", "band binary [, valid binary]", STATISTICS, chip_statistics),
    SqlFunction(
        "chip_normalized_difference",
        "scalar",
        "first binary, second binary [, valid binary]",
        "double",
        chip_normalized_difference,
    ),
    SqlFunction("chip_index", "scalar", "name string, bands struct<binary> [, valid binary]", "double", chip_index),
    SqlFunction("chip_pixel", "scalar", "band binary, pixel_row int, pixel_col int", "int", chip_pixel),
    SqlFunction("chip_geotiff", "scalar", "cell_id string, bands struct<binary>", "binary", chip_geotiff),
    SqlFunction(
        "chip_rgb_png",
        "scalar",
        "red binary, green binary, blue binary [, max_reflectance double]",
        "binary",
        chip_rgb_png,
    ),
    SqlFunction(
        "nearest_embeddings",
        "scalar",
        "file string, positions array<bigint>, query_file string, query_position bigint, column string, k int",
        NEAREST,
        nearest_embeddings,
    ),
    SqlFunction(
        "chip_patches",
        "scalar",
        "bands struct<binary>, source_index binary, suspect binary",
        CHIP_PATCHES,
        chip_patches,
    ),
    SqlFunction(
        "patch_baseline",
        "scalar",
        "history array<struct<bigint, string, binary>>",
        "binary",
        patch_baseline,
    ),
    SqlFunction(
        "chip_anomaly",
        "scalar",
        "acquired_us bigint, patches binary, baseline binary",
        ANOMALY,
        chip_anomaly,
    ),
    SqlFunction(
        "cell_events",
        "scalar",
        "rule string, history array<struct<bigint, string, binary>>",
        EVENTS,
        cell_events,
    ),
    SqlFunction("connected_groups", "scalar", "pairs array<struct<string, string>>", GROUPS, connected_groups),
)


def all_functions(runtime: RuntimeSettings) -> tuple[SqlFunction, ...]:
    """Return the project's functions and the user's.

    Raises:
        ChiplakeError: a function of CHIPLAKE_FUNCTIONS cannot be loaded.
    """
    return (*FUNCTIONS, *load_functions(runtime.function_names, FUNCTIONS))
