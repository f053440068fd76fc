"""Convolutions by kernels whose taps do not all have one sign, of pictures of which pixels are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv._model.separability import Separable
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._source import Result, Source

# Differences below so many eps of what they are differences of are rounding errors.
_EPS = 16


def levelled(
    source: Source, kernel: NDArray[np.floating] | Separable, level: NDArray[np.floating] | Separable, scale: float
) -> Result:
    """Convolve distances from a local mean of the known pixels, that by `level`, and divide by the known share.

    A missing pixel has no distance from it, so that a flat area stays flat around holes. Of the derivatives of a
    Gaussian, with the Gaussian as `level`, the first ones are those of the normalized blur (H. Knutsson and C.-F.
    Westin, CVPR 1993).
    """
    lines = kernel.lines if isinstance(kernel, Separable) else (kernel,)
    if not all(line.any() for line in lines):
        return _nothing(source, level)
    found = source.convolved(kernel, source.sums, scale=scale, normalize=False)
    assert found.shares is not None
    if all((found.shares[chunk] >= 1).all() for chunk in chunk_slices(found.shares.shape)):
        return found
    whole = source._replace(decided=None, options=source.options._replace(min_weight=0.0))
    flat = _flat(whole).convolved(kernel, source.sums, scale=scale, normalize=False).values
    means = whole.convolved(level, source.sums).values
    total, size = (float(np.prod([of(line).sum() for line in lines])) / scale for of in (np.asarray, np.abs))
    gain = total if abs(total) > 1e-6 * abs(size) else 0.0
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(found.values.shape):
            values, mean, shares = found.values[chunk], means[chunk], found.shares[chunk]
            moved = values - mean * flat[chunk]
            least = _EPS * np.finfo(values.dtype).eps * abs(size) * np.abs(mean)
            moved[np.abs(moved) <= least] = 0
            moved += mean * values.dtype.type(gain)
            np.copyto(values, moved, where=shares < 1)
    return found


def _nothing(source: Source, level: NDArray[np.floating] | Separable) -> Result:
    """The derivative by taps that are all 0, as of a Gaussian cut at its centre: 0 where anything is known."""
    found = source.convolved(level, source.sums)
    assert found.shares is not None
    for chunk in chunk_slices(found.values.shape):
        np.copyto(found.values[chunk], 0, where=found.shares[chunk] > source.options.min_weight)
    return found


def _flat(source: Source) -> Source:
    """A picture of ones of which the same pixels are missing."""
    options = source.options
    ones = np.empty(source.array.shape, source.sums)
    ignores_nan = options.nan == "ignore" and source.array.dtype.kind == "f"
    for chunk in chunk_slices(ones.shape):
        ones[chunk] = 1
        if ignores_nan:
            ones[chunk][np.isnan(source.array[chunk])] = np.nan
    fills = options.boundary == "fill" and options.fill_value == options.fill_value
    options = options._replace(linear=False, fill_value=1 if fills else options.fill_value)
    return source._replace(given=ones, array=ones, options=options)
