"""The band table: the one place that says which Sentinel-2 bands exist and what they are."""

from __future__ import annotations

from dataclasses import dataclass

CHIP_SIZE_M = 2560  # side of a grid cell and of its chip, metres
CHIP_PIXELS_10M = 256
CHIP_PIXELS_20M = 128


@dataclass(frozen=True)
class Band:
    """One spectral band. Wavelengths are those of Clay's published metadata for Sentinel-2 L2A."""

    name: str  # common name, and the column name in fct_chips
    code: str  # Sentinel-2 band code, as in product file names
    gsd: int  # ground sampling distance, metres: 10 or 20
    wavelength: float  # central wavelength, micrometres

    @property
    def pixels(self) -> int:
        """Side of the band's array in a chip, pixels."""
        return CHIP_SIZE_M // self.gsd


BANDS: tuple[Band, ...] = (
    Band("blue", "B02", 10, 0.493),
    Band("green", "B03", 10, 0.560),
    Band("red", "B04", 10, 0.665),
    Band("rededge1", "B05", 20, 0.704),
    Band("rededge2", "B06", 20, 0.740),
    Band("rededge3", "B07", 20, 0.783),
    Band("nir", "B08", 10, 0.842),
    Band("nir08", "B8A", 20, 0.865),
    Band("swir16", "B11", 20, 1.610),
    Band("swir22", "B12", 20, 2.190),
)
BAND_BY_NAME: dict[str, Band] = {band.name: band for band in BANDS}
BAND_NAMES: tuple[str, ...] = tuple(BAND_BY_NAME)
VALUE_PER_REFLECTANCE = 10_000  # pixels of chips hold reflectance x 10,000, 0 is nodata
SCL = "scl"  # scene classification layer, 20 m, uint8
# Sen2Cor's probabilities, which some providers serve, 20 m, uint8, percent.
CLOUD_PROBABILITY = "cloud_probability"
SNOW_PROBABILITY = "snow_probability"
PROBABILITIES: tuple[str, ...] = (CLOUD_PROBABILITY, SNOW_PROBABILITY)
CLOUD_DISTANCE = "cloud_distance"  # column of fct_chips, 20 m, uint8
# Side of a pixel of the layers that are rasters at providers, metres. Few items have probabilities.
LAYER_GSD_M: dict[str, int] = {band.name: band.gsd for band in BANDS} | dict.fromkeys((SCL, *PROBABILITIES), 20)
CHIP_LAYERS: tuple[str, ...] = (*BAND_NAMES, SCL, CLOUD_DISTANCE, *PROBABILITIES)  # columns of fct_chips with pixels
CLOUD_REACH_PIXELS = 15  # the largest distance that cloud_distance measures, 20 m pixels
