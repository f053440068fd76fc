"""Convert TIFFs that are larger than memory, in parts."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.cli import deep_pictures, georeferencing, part_by_part, picture_metadata, tiff_writing
from fastconv.cli.large_tiffs import LargePage
from fastconv.cli.missing_pixels import MissingPixels, value_of_unknown, weights_of
from fastconv.cli.picture_metadata import Metadata
from fastconv.cli.result_steps import Steps
from fastconv.cli.tiff_reading import StoredTiff

# Bytes of a part of a result, with and without weights of its pixels.
PART, PART_WITH_WEIGHTS = 1 << 23, 1 << 21


class Stored(NamedTuple):
    """What was written."""

    before: str
    after: str
    pixels: int
    seconds: float


def convert(
    pages: list[LargePage],
    file: IO[bytes],
    kernels: Mapping[np.dtype, NDArray],
    options: dict[str, Any],
    steps: Steps,
    missing: MissingPixels | None,
    workers: int,
    shows_progress: bool,
) -> Stored:
    """Filter pages, and write them to a file that is open for reading and writing."""
    import fastconv.dask
    from fastconv.image._source import sums_type

    start, stored = time.perf_counter(), []
    shapes = [steps.shape(page.samples.shape) for page in pages]
    nbytes = sum(math.prod(shape) * page.samples.dtype.itemsize for page, shape in zip(pages, shapes))
    writer = tiff_writing.TiffWriter(file, nbytes)
    for (samples, metadata), shape in zip(pages, shapes):
        dtype = samples.dtype
        kernel = kernels[sums_type(np.empty((1, 1), dtype))]
        if options["linear"]:
            samples.kind.check_linear()
        compression, predictor = deep_pictures.compression_of(metadata, dtype)
        layout = tiff_writing.Layout(shape, samples.kind, compression, predictor, samples.tile)
        samples.chunks = (*layout.segment, *shape[2:])
        given: dict[str, Any] = {**options, "mode": steps.filter_mode}
        given |= samples.kind.alpha_options(options["alpha"])
        if missing is not None:
            given |= _weights(missing, samples, metadata)
        part = PART if missing is None else PART_WITH_WEIGHTS
        with part_by_part.parts_of(max(part, 16 * kernel.size * dtype.itemsize)):
            result = fastconv.dask.filter(samples, kernel, axes=(0, 1), **given)
            result = result if steps.are_usual else result[steps.kept(samples.shape)]
        metadata = metadata._replace(exif=georeferencing.moved(metadata.exif, steps.grid))
        target = writer.page(layout, picture_metadata.tiff_tags_of(metadata, shape[1], shape[0]))
        result = part_by_part.aligned(result, (*layout.segment, *shape[2:]))
        part_by_part.store(result, target, workers, None, shows_progress and len(pages) == 1)
        target.finish()
        stored.append((samples.shape, shape, samples.kind.text))
    several = f", {len(pages)} pictures" if len(pages) > 1 else ""
    before, after = (f"{stored[0][i][1]} x {stored[0][i][0]} {stored[0][2]}{several}, in parts" for i in (0, 1))
    return Stored(before, after, sum(s[0] * s[1] for _, s, _ in stored), time.perf_counter() - start)


class _Weights:
    """Weights of the pixels of a page as an array on disk: they are found where they are read."""

    dtype = np.dtype(np.float32)
    shape: tuple[int, ...] = ()
    chunks: tuple[int, ...] = ()
    store: str = ""

    def __init__(self, samples: StoredTiff, value: float | None, missing: MissingPixels):
        self.shape, self._samples, self._value, self._mask = samples.shape[:2], samples, value, missing.mask
        self.store, self.name = samples.store, f"{samples.name} {value} {uuid.uuid4().hex}"

    def __getitem__(self, where: tuple[slice, ...]) -> NDArray:
        rows_and_columns, samples = (where[0], where[1]), self._samples
        mask = None if self._mask is None else self._mask[rows_and_columns]
        pixels = np.empty(0) if self._value is None else samples[rows_and_columns]
        weights = weights_of(pixels, samples.kind.has_alpha, self._value, mask)
        assert weights is not None
        return weights.astype(np.float32)


def _weights(missing: MissingPixels, samples: StoredTiff, metadata: Metadata) -> dict[str, Any]:
    """Options of `filter` for missing pixels."""
    missing.check_size(samples.shape)
    value = missing.value_of(metadata)
    if value is None and missing.mask is None:
        return {}
    return {"weights": _Weights(samples, value, missing), **value_of_unknown(value, samples.dtype)}
