"""The arrays of the benchmark cases."""

from __future__ import annotations

import functools
from typing import Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.cases import GAUSSIAN, WHOLE, Case

SEED = 20_251_121


class Inputs(NamedTuple):
    image: NDArray  # or signal
    kernel: NDArray


@functools.lru_cache(maxsize=1)  # all sides of a case get the same arrays
def inputs(case: Case) -> Inputs:
    """Return the arrays of a case, the same in every run: uniform in -1 .. 1, or over all values of an integer type.

    The kernel of a picture sums to 1: random numbers, or small integers, divided by their sum.
    """
    random = np.random.default_rng(SEED)
    image = _random(random, case.dtype, case.shape)
    if case.kernel == GAUSSIAN:
        kernel = functools.reduce(np.multiply.outer, [gaussian_line(case)] * len(case.kernel_shape))
    elif case.is_picture:
        taps = weights(case) if case.kernel == WHOLE else random.uniform(0, 1, case.kernel_shape)
        kernel = (taps / taps.sum()).astype(np.float32)
    else:
        kernel = _random(random, case.dtype, case.kernel_shape)
    return Inputs(_LAYOUTS[case.layout](image), kernel)


def dilated_kernel(case: Case) -> NDArray:
    """Return the kernel with zeros between its taps, for functions without dilation."""
    kernel, apart = inputs(case).kernel, case.dilation
    if apart == 1:
        return kernel
    spread = np.zeros([(taps - 1) * apart + 1 for taps in kernel.shape], kernel.dtype)
    spread[tuple(slice(None, None, apart) for _ in kernel.shape)] = kernel
    return spread


TRUNCATE = 4.0  # as in `scipy.ndimage.gaussian_filter`


def sigma(case: Case) -> float:
    """Return the standard deviation of a Gaussian case, truncated at `TRUNCATE` of them."""
    return (case.kernel_shape[0] - 1) / 2 / TRUNCATE


def gaussian_line(case: Case) -> NDArray[np.floating]:
    """Return the 1-D factor of a Gaussian, for separable functions."""
    radius = (case.kernel_shape[0] - 1) // 2
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma(case)) ** 2)
    return (line / line.sum()).astype(case.accumulator)


def weights(case: Case) -> NDArray[np.int64]:
    """Return a kernel of integers, before the division by its sum."""
    return np.random.default_rng(SEED).integers(1, 10, case.kernel_shape)


def _random(random: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> NDArray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    # Not random(dtype=float32), whose stream differs: both types get the same numbers.
    return random.uniform(-1, 1, shape).astype(dtype)


def _crop(image: NDArray) -> NDArray:
    """Copy into a larger array, so that rows are not aligned to vectors."""
    top, left = 5, 7
    whole = np.zeros((image.shape[0] + 2 * top, image.shape[1] + 2 * left), image.dtype)
    crop = whole[top:-top, left:-left]
    crop[...] = image
    return crop


def _reversed(image: NDArray) -> NDArray:
    """Copy in reverse order, so that both strides are negative."""
    return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]


_LAYOUTS: dict[str, Callable[[NDArray], NDArray]] = {
    "contiguous": np.ascontiguousarray,
    "crop": _crop,
    "Fortran": np.asfortranarray,
    "negative strides": _reversed,
}
