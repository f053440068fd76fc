"""Smoothing kernels: means and Gaussians."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_count, as_float
from fastconv._model.message_formatting import shown
from fastconv.kernels import _coverage
from fastconv.kernels._checks import MOST_TAPS, check_size, pair, positive
from fastconv.kernels._profiles import gaussian_profiles, not_negative


def box(size: int | tuple[int, int] = 3, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean over a square or rectangle: all taps are equal and sum to 1.

    Parameters
    ----------
    size : int or (int, int)
        The size in pixels, or a pair ``(rows, columns)``. An even size has no central pixel: in mode 'same' the window
        extends one pixel further left and up than right and down.
    dtype : {'float32', 'float64'}
        The type of the taps.

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

    See Also
    --------
    gaussian : Weights that decrease with the distance.
    disk : A round one.

    Examples
    --------
    >>> from fastconv.kernels import box
    >>> box(2)
    array([[0.25, 0.25],
           [0.25, 0.25]], dtype=float32)
    >>> box((1, 5))
    array([[0.2, 0.2, 0.2, 0.2, 0.2]], dtype=float32)
    """
    floats = as_float(dtype)
    rows, columns = pair(size, "size", as_count)
    if rows * columns > MOST_TAPS:
        raise ValueError(f"size must give a kernel of at most {MOST_TAPS} taps; got {shown(size)}")
    return np.full((rows, columns), 1 / (rows * columns), floats)


def binomial(size: int | tuple[int, int] = 3, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Binomial coefficients along both axes, which approximate a Gaussian: 1 2 1 or 1 4 6 4 1, with the sum 1.

    It is often called a Gaussian. Along an axis of n taps its variance is ``(n - 1) / 4`` pixels squared.

    Parameters
    ----------
    size : int or (int, int)
        The size in pixels, or a pair ``(rows, columns)``. As `box`, an even size has no central pixel.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (size, size) or size
        ``comb(n - 1, k) / 2**(n - 1)`` along each axis. They are exact up to 15 x 15 in float32, and 30 x 30 in
        float64.

    Raises
    ------
    ValueError
        If a size is less than 1 or more than 1024, or there are more than two.
    TypeError
        If a size is not an integer.

    See Also
    --------
    gaussian : Of any standard deviation.
    box : All taps equal.

    Examples
    --------
    >>> from fastconv.kernels import binomial
    >>> 16 * binomial(3)
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    >>> 256 * binomial(5)
    array([[ 1.,  4.,  6.,  4.,  1.],
           [ 4., 16., 24., 16.,  4.],
           [ 6., 24., 36., 24.,  6.],
           [ 4., 16., 24., 16.,  4.],
           [ 1.,  4.,  6.,  4.,  1.]], dtype=float32)
    """
    floats = as_float(dtype)
    extents = pair(size, "size", as_count)
    if max(extents) > _MOST_BINOMIALS:
        raise ValueError(f"size must be at most {_MOST_BINOMIALS}; got {shown(size)}")
    column, row = ([math.comb(n - 1, k) / (1 << (n - 1)) for k in range(n)] for n in extents)
    with np.errstate(all="ignore"):
        return np.outer(column, row).astype(floats, copy=False)


_MOST_BINOMIALS = 1024  # larger ones have coefficients that float64 cannot hold


def disk(radius: float = 3.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean over a disk, a model of defocus blur.

    The disk is centred on the central pixel. A tap is the share of the disk's area, ``pi * radius**2``, that lies in
    its pixel, a square of side 1; pixels on the edge count in part. The taps sum to 1.

    Parameters
    ----------
    radius : float
        Radius in pixels, any positive number. Up to 0.5 the disk lies in one pixel, and the kernel is the identity.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1), where R = max(0, ceil(radius - 0.5))
        The areas are exact up to rounding, from the integral of the circle in float64.

    Raises
    ------
    ValueError
        If `radius` is not positive and finite.
    TypeError
        If `radius` is not a number.

    See Also
    --------
    box : A square one.
    motion : A line.

    Examples
    --------
    >>> from fastconv.kernels import disk
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
    """A Gaussian, cut off at a radius and normalised to the sum 1.

    It is ``exp(-(x**2 + y**2) / (2 * sigma**2))``, with columns `x` and rows `y` counted from the centre, scaled to the
    sum 1; with two sigmas ``exp(-y**2 / (2 * sigma[0]**2) - x**2 / (2 * sigma[1]**2))``.

    Parameters
    ----------
    sigma : float or (float, float)
        Standard deviation in pixels, or a pair: down the columns, and along the rows. One of 0 gives the identity.
    truncate : float
        The cut-off in standard deviations: the radius is ``R = int(truncate * sigma + 0.5)`` pixels, for each direction
        separately, as in `scipy.ndimage.gaussian_filter`.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1), or (2 * R[0] + 1, 2 * R[1] + 1)
        Computed in float64 and rounded once.

    Raises
    ------
    ValueError
        If a `sigma` is negative or not finite, `truncate` not positive and finite, or there are more than two sigmas.
    TypeError
        If one is not a number.

    See Also
    --------
    binomial : An approximation by few taps.
    fastconv.image.gaussian_blur : Blur a picture.

    Examples
    --------
    >>> from fastconv.kernels import gaussian
    >>> gaussian(sigma=0.5, truncate=2).round(3)
    array([[0.011, 0.084, 0.011],
           [0.084, 0.619, 0.084],
           [0.011, 0.084, 0.011]], dtype=float32)
    >>> gaussian(sigma=2).shape, gaussian(sigma=(1, 2)).shape
    ((17, 17), (9, 17))
    """
    floats = as_float(dtype)
    with np.errstate(all="ignore"):
        return np.outer(*gaussian_profiles(sigma, truncate, check=not_negative)).astype(floats, copy=False)
