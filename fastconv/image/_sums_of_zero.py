"""What filters whose taps add up to 0 share: gradients, curvatures, and relief."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from fastconv._model.separability import Separable
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._blurs import axis_count
from fastconv.image._missing_pixels import levelled
from fastconv.image._options import Options
from fastconv.image._source import Result, Source

# The local mean that kernels of 3 x 3 take distances from, where pixels are missing.
LEVEL = np.full((3, 3), 1 / 9)


def opened_for_sum_of_zero(image: Any, options: Options, axes: int | None = 2) -> Source:
    """Open a picture for kernels whose taps add up to 0; `axes` is their number, None for any."""
    source = Source.open(image, options, axis_count(options.axes) if axes is None else axes)
    if source.has_alpha and options.alpha == "filter":
        raise ValueError("alpha must be 'auto' or 'keep' for a filter whose taps add up to 0; got 'filter'")
    return source


def of_floats(source: Source) -> Source:
    """The same with floats as results, unless another type of floats was asked for."""
    options = source.options
    return source._replace(options=options._replace(dtype=source.sums)) if options.dtype is None else source


def combine(function: Callable[..., Any], *arrays: NDArray[Any], out: NDArray[Any]) -> None:
    """Apply a function to arrays of one shape, chunk by chunk."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(out.shape):
            function(*(array[chunk] for array in arrays), out=out[chunk])


def derivative(
    source: Source,
    kernel: NDArray[np.floating] | Separable,
    level: NDArray[np.floating] | Separable,
    scale: float = 1.0,
) -> Result:
    """The sums of a kernel whose taps add up to 0, divided by `scale`; for `level` see `levelled`."""
    if source.may_miss:
        return levelled(source, kernel, level, scale)
    return source.convolved(kernel, source.sums, scale=scale)


def closed_floats(source: Source, result: Result) -> Any:
    """Floats as the result, with 0 in an alpha channel."""
    if source.has_alpha:
        result.values[..., -1] = 0
    return source.closed(result, (), False, encodes=False)
