"""Which pixels of a picture are missing: those of a value, those that its file names, and those of a mask."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.cli import large_tiffs, picture_reading
from fastconv.cli.picture_metadata import Metadata
from fastconv.cli.picture_pages import Page
from fastconv.cli.raster import Raster
from fastconv.cli.tiff_reading import StoredTiff
from fastconv.image._pillow_modes import Pixels

# TIFF tag of GDAL: the value of missing pixels, as text.
_NODATA = 42113
TAG = "tag"


class MissingPixels(NamedTuple):
    """What the options ask for."""

    nodata: float | str | None  # a value, or `TAG`
    mask: NDArray | StoredMask | None  # weights, 0 .. 1

    def options(self, page: Page) -> dict[str, Any]:
        """Options of `fastconv.image.filter` for a picture; a pixel of which nothing is known stays missing.

        Raises
        ------
        ValueError
            If the mask is not of the size of the picture.
        """
        picture = page.image if isinstance(page.image, Raster) else Pixels.of(page.image)
        self.check_size(picture.array.shape)
        value = self.value_of(page.metadata)
        mask = None if self.mask is None else self.mask[:, :]
        weights = weights_of(picture.array, picture.has_alpha, value, mask)
        if weights is None:
            return {}
        return {"weights": weights, **value_of_unknown(value, picture.array.dtype)}

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Refuse a mask that is not of the size of the picture."""
        if self.mask is not None and self.mask.shape != shape[:2]:
            sizes = " and ".join(f"{width} x {height}" for height, width in (shape[:2], self.mask.shape))
            raise ValueError(f"argument --mask: must be of the size of the picture; they have {sizes} pixels")

    def value_of(self, metadata: Metadata) -> float | None:
        """The value of missing pixels of a picture, if it has one."""
        return _tagged(metadata) if self.nodata == TAG else self.nodata  # type: ignore[return-value]

    def notes(self, metadata: Metadata) -> tuple[str, ...]:
        """What the options ask for, and the file of a picture does not have."""
        is_untold = self.nodata == TAG and _tagged(metadata) is None
        return ("names no value of missing pixels: all are known",) if is_untold else ()


def weights_of(array: NDArray, has_alpha: bool, value: float | None, mask: NDArray | None) -> NDArray | None:
    """Weights of pixels: 0 for those whose colours all have a value, else those of a mask; None for none."""
    if value is None:
        return mask
    colours = array[..., :-1] if has_alpha else array
    missing = np.isnan(colours) if math.isnan(value) else colours == value
    missing = missing.all(axis=-1) if missing.ndim == 3 else missing
    return ~missing if mask is None else np.where(missing, np.float32(0), mask)


def value_of_unknown(value: float | None, dtype: np.dtype) -> dict[str, Any]:
    """The option for the results of which nothing is known: they have the value of missing pixels."""
    if value is None or not _is_held(value, dtype):
        return {}
    return {"missing_value": value if dtype.kind == "f" else int(value)}


def _tagged(metadata: Metadata) -> float | None:
    """The value of missing pixels that a file names; None if it names none."""
    text = None if metadata.exif is None else metadata.exif.get(_NODATA)
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


class StoredMask:
    """A mask that is read in parts, as a picture larger than memory is."""

    def __init__(self, samples: StoredTiff):
        self.shape, self._samples = samples.shape, samples

    def __getitem__(self, where: tuple[slice, slice]) -> NDArray:
        return _as_weights(self._samples[where])


@contextlib.contextmanager
def opened_mask(path: str) -> Iterator[NDArray | StoredMask]:
    """Open a mask: black pixels are missing, white ones known, grey ones in part; floats are weights, 0 .. 1.

    Raises
    ------
    OSError
        If the file cannot be read as a picture.
    """
    with large_tiffs.opened(path, 1) as pages:
        if pages and pages[0].samples.dtype.name in _WHITES and len(pages[0].samples.shape) == 2:
            yield StoredMask(pages[0].samples)
            return
    image = next(picture_reading.load_pages(path, None, 1)).page.image
    if isinstance(image, Raster):
        if image.array.ndim == 2 and image.kind.dtype.name in _WHITES:
            yield _as_weights(image.array)
            return
        raise OSError(f"{path}: a mask must have one channel of 8 or 16 bits, or of float32; got {image.mode}")
    if image.mode == "F":
        yield np.asarray(image)
    elif image.mode.startswith("I"):  # of 16 bits, also where Pillow reads 32
        yield _as_weights(np.minimum(np.asarray(image), 65535).astype(np.uint16))
    else:
        yield _as_weights(np.asarray(image.convert("L")))


_WHITES = {"uint8": 255, "uint16": 65535, "float32": 1}


def _as_weights(samples: NDArray) -> NDArray:
    return samples.astype(np.float32) / np.float32(_WHITES[samples.dtype.name])
