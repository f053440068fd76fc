"""Smoothing kernels: means and Gaussians."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_float, shown
from fastconv.kernels import _coverage
from fastconv.kernels._checks import MOST_TAPS, check_size, count, pair, positive
from fastconv.kernels._profiles import gaussian_profiles


def box(size: int | tuple[int, int] = 3, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean over a square or a rectangle: all taps are equal and sum to 1.

    Parameters
    ----------
    size : int or (int, int)
        Pixels along each side; two are ``(rows, columns)``. An even size has no middle: in mode 'same' the mean is
        of one pixel more to the left and above than to the right and below.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (size, size) or size
        Every tap is ``1 / (rows * columns)``.

    Raises
    ------
    ValueError
        If a size is less than 1, or there are more than two.
    TypeError
        If a size is not an integer.

    Examples
    --------
    >>> box(2)
    array([[0.25, 0.25],
           [0.25, 0.25]], dtype=float32)
    >>> box((1, 5))
    array([[0.2, 0.2, 0.2, 0.2, 0.2]], dtype=float32)
    """
    floats = as_float(dtype)
    rows, columns = pair(size, "size", count)
    if rows * columns > MOST_TAPS:
        raise ValueError(f"size must give a kernel of at most {MOST_TAPS} taps; got {shown(size)}")
    return np.full((rows, columns), 1 / (rows * columns), floats)


def disk(radius: float = 3.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean over a disk: a picture out of focus, each point a spot of even light.

    A tap is the area of the disk in its pixel, a square of side 1, over the area of the disk, ``pi * radius**2``. The
    disk's centre is that of the middle pixel. So pixels on the edge count in part. The taps sum to 1.

    Parameters
    ----------
    radius : float
        In pixels, any positive number. Up to 0.5 the disk lies in one pixel, and the picture stays as it is.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1), where R = max(0, ceil(radius - 0.5))
        The areas are exact, from the integral of the circle, but for their rounding in float64 and to `dtype`.

    Raises
    ------
    ValueError
        If `radius` is not positive and finite.
    TypeError
        If `radius` is not a number.

    Examples
    --------
    >>> disk(1.5).round(3)
    array([[0.077, 0.137, 0.077],
           [0.137, 0.141, 0.137],
           [0.077, 0.137, 0.077]], dtype=float32)
    """
    floats = as_float(dtype)
    radius = positive(radius, "radius")
    check_size("radius", radius, radius)
    with np.errstate(all="ignore"):
        return _coverage.disk(radius).astype(floats, copy=False)


def gaussian(
    sigma: float | tuple[float, float] = 1.0, truncate: float = 4.0, *, dtype: DTypeLike = np.float32
) -> NDArray[np.floating]:
    """A Gaussian blur: a bell around each pixel, cut off at a radius, with the sum 1.

    It is ``exp(-(x**2 + y**2) / (2 * sigma**2))``, with the columns `x` and the rows `y` counted from the middle, and
    scaled to the sum 1; with two sigmas ``exp(-y**2 / (2 * sigma[0]**2) - x**2 / (2 * sigma[1]**2))``.

    Parameters
    ----------
    sigma : float or (float, float)
        Standard deviation in pixels; two are for the directions along which the rows and the columns are counted: down,
        and to the right.
    truncate : float
        Where to cut it off, in standard deviations: the radius is ``R = int(truncate * sigma + 0.5)`` pixels, for each
        direction by itself, as in `scipy.ndimage.gaussian_filter`.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1), or (2 * R[0] + 1, 2 * R[1] + 1)
        Computed in float64 and rounded once.

    Raises
    ------
    ValueError
        If a `sigma` or `truncate` is not positive and finite, or there are more than two sigmas.
    TypeError
        If one is not a number.

    Examples
    --------
    >>> gaussian(sigma=0.5, truncate=2).round(3)
    array([[0.011, 0.084, 0.011],
           [0.084, 0.619, 0.084],
           [0.011, 0.084, 0.011]], dtype=float32)
    >>> gaussian(sigma=2).shape, gaussian(sigma=(1, 2)).shape
    ((17, 17), (9, 17))
    """
    floats = as_float(dtype)
    with np.errstate(all="ignore"):
        return np.outer(*gaussian_profiles(sigma, truncate)).astype(floats, copy=False)
