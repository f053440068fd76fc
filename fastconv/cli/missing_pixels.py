"""Which pixels of a picture are missing: those of a value, those that its file names, and those of a mask."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.cli import picture_reading
from fastconv.cli.picture_pages import Page
from fastconv.cli.raster import Raster
from fastconv.image._pillow_modes import Pixels

# TIFF tag of GDAL: the value of missing pixels, as text.
_NODATA = 42113
TAG = "tag"


class MissingPixels(NamedTuple):
    """What the options ask for."""

    nodata: float | str | None  # a value, or `TAG`
    mask: NDArray | None  # weights, 0 .. 1

    def options(self, page: Page) -> dict[str, Any]:
        """Options of `fastconv.image.filter` for a picture; a pixel of which nothing is known stays missing.

        Raises
        ------
        ValueError
            If the mask is not of the size of the picture.
        """
        picture = page.image if isinstance(page.image, Raster) else Pixels.of(page.image)
        array, weights = picture.array, self.mask
        if weights is not None and weights.shape != array.shape[:2]:
            sizes = " and ".join(f"{width} x {height}" for height, width in (array.shape[:2], weights.shape))
            raise ValueError(f"argument --mask: must be of the size of the picture; they have {sizes} pixels")
        value = _tagged(page) if self.nodata == TAG else self.nodata
        found: dict[str, Any] = {}
        if isinstance(value, float):
            colours = array[..., :-1] if picture.has_alpha else array
            missing = np.isnan(colours) if math.isnan(value) else colours == value
            missing = missing.all(axis=-1) if missing.ndim == 3 else missing
            weights = ~missing if weights is None else np.where(missing, 0, weights)
            if _is_held(value, array.dtype):
                found["missing_value"] = value if array.dtype.kind == "f" else int(value)
        return found if weights is None else {**found, "weights": weights}


def _tagged(page: Page) -> float | None:
    """The value of missing pixels that a file names; None if it names none."""
    text = None if page.metadata.exif is None else page.metadata.exif.get(_NODATA)
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        return None if text is None else float(str(text).strip("\0 "))
    except ValueError:
        return None


def _is_held(value: float, dtype: np.dtype) -> bool:
    """Whether pixels of a type may have a value."""
    if dtype.kind == "f":
        return not math.isfinite(value) or abs(value) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return value == value and limits.min <= value <= limits.max and value == int(value)


def mask_of(path: str) -> NDArray:
    """Read a mask: black pixels are missing, white ones known, grey ones in part; floats are weights, 0 .. 1.

    Raises
    ------
    OSError
        If the file cannot be read as a picture.
    """
    image = next(picture_reading.load_pages(path, None, 1)).page.image
    if isinstance(image, Raster):
        raise OSError(f"{path}: a mask must have one channel of 8 or 16 bits, or of float32; got {image.mode}")
    if image.mode == "F":
        return np.asarray(image)
    if image.mode.startswith("I"):  # of 16 bits, also where Pillow reads 32
        return np.minimum(np.asarray(image, np.float32), 65535) / np.float32(65535)
    return np.asarray(image.convert("L"), np.float32) / np.float32(255)
