"""Kernels of first and second derivatives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_count, as_float
from fastconv._model.message_formatting import shown
from fastconv.kernels._checks import check_size, positive
from fastconv.kernels._profiles import curvature_profile, gaussian_profile


def sobel_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The horizontal derivative by Sobel: positive where brightness increases to the right.

    A difference across two columns, smoothed over three rows [1]_. A slope of 1 per pixel gives 8.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    sobel_y : The derivative downwards.
    scharr_x : Other weights of the rows.

    References
    ----------
    .. [1] Sobel, I. and Feldman, G., "A 3x3 isotropic gradient operator for image processing", talk at the Stanford
       Artificial Intelligence Project, 1968.

    Examples
    --------
    >>> from fastconv.kernels import sobel_x
    >>> sobel_x()
    array([[ 1.,  0., -1.],
           [ 2.,  0., -2.],
           [ 1.,  0., -1.]], dtype=float32)

    >>> import fastconv
    >>> fastconv.convolve2d([[10, 11, 12]] * 3, sobel_x(), "valid")
    array([[8.]])
    """
    return np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], as_float(dtype))


def sobel_y(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The vertical derivative by Sobel: positive where brightness increases downwards.

    It is `sobel_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    sobel_x : The derivative to the right.
    scharr_y : Other weights of the columns.

    Examples
    --------
    >>> from fastconv.kernels import sobel_y
    >>> sobel_y()
    array([[ 1.,  2.,  1.],
           [ 0.,  0.,  0.],
           [-1., -2., -1.]], dtype=float32)
    """
    return np.ascontiguousarray(sobel_x(dtype=dtype).T)


def prewitt_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The horizontal derivative by Prewitt: positive where brightness increases to the right.

    A difference across two columns, summed over three rows [1]_. A slope of 1 per pixel gives 6.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    prewitt_y : The derivative downwards.
    sobel_x : Other weights of the rows.

    References
    ----------
    .. [1] Prewitt, J. M. S., "Object enhancement and extraction", in B. S. Lipkin and A. Rosenfeld (eds.), Picture
       Processing and Psychopictorics, Academic Press 1970.

    Examples
    --------
    >>> from fastconv.kernels import prewitt_x
    >>> prewitt_x()
    array([[ 1.,  0., -1.],
           [ 1.,  0., -1.],
           [ 1.,  0., -1.]], dtype=float32)
    """
    return np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]], as_float(dtype))


def prewitt_y(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The vertical derivative by Prewitt: positive where brightness increases downwards.

    It is `prewitt_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    prewitt_x : The derivative to the right.
    sobel_y : Other weights of the columns.

    Examples
    --------
    >>> from fastconv.kernels import prewitt_y
    >>> prewitt_y()
    array([[ 1.,  1.,  1.],
           [ 0.,  0.,  0.],
           [-1., -1., -1.]], dtype=float32)
    """
    return np.ascontiguousarray(prewitt_x(dtype=dtype).T)


def scharr_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The horizontal derivative by Scharr: positive where brightness increases to the right.

    Like `sobel_x`, with row weights for a more isotropic gradient [1]_. A slope of 1 per pixel gives 32.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    scharr_y : The derivative downwards.
    sobel_x : Other weights of the rows.

    References
    ----------
    .. [1] Scharr, H., Optimale Operatoren in der Digitalen Bildverarbeitung, doctoral thesis, University of Heidelberg,
       2000.

    Examples
    --------
    >>> from fastconv.kernels import scharr_x
    >>> scharr_x()
    array([[  3.,   0.,  -3.],
           [ 10.,   0., -10.],
           [  3.,   0.,  -3.]], dtype=float32)
    """
    return np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]], as_float(dtype))


def scharr_y(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The vertical derivative by Scharr: positive where brightness increases downwards.

    It is `scharr_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    scharr_x : The derivative to the right.
    sobel_y : Other weights of the columns.

    Examples
    --------
    >>> from fastconv.kernels import scharr_y
    >>> scharr_y()
    array([[  3.,  10.,   3.],
           [  0.,   0.,   0.],
           [ -3., -10.,  -3.]], dtype=float32)
    """
    return np.ascontiguousarray(scharr_x(dtype=dtype).T)


def edge(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Eight times a pixel minus its eight neighbours: zero where brightness is constant or linear.

    It is the negative of the Laplacian with diagonal terms [1]_, and positive on a bright spot.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    ridge : With 4 or 8 neighbours.
    laplacian : The sum of the second derivatives.

    References
    ----------
    .. [1] Gonzalez, R. C. and Woods, R. E., Digital Image Processing, 4th ed., Pearson 2018, section 3.6.

    Examples
    --------
    >>> from fastconv.kernels import edge
    >>> edge()
    array([[-1., -1., -1.],
           [-1.,  8., -1.],
           [-1., -1., -1.]], dtype=float32)
    """
    return np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], as_float(dtype))


def ridge(neighbours: int = 4, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """A pixel minus its neighbours, 4 or 8: positive on bright lines and dots. The taps sum to 0.

    With 4 neighbours it is the negative of `laplacian`, with 8 it is `edge`.

    Parameters
    ----------
    neighbours : {4, 8}
        Those with a common side, or all.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `neighbours` is neither 4 nor 8.
    TypeError
        If `neighbours` is not an integer.

    See Also
    --------
    edge : With 8 neighbours.
    laplacian : Of the opposite sign.

    Examples
    --------
    >>> from fastconv.kernels import ridge
    >>> ridge(4)
    array([[ 0., -1.,  0.],
           [-1.,  4., -1.],
           [ 0., -1.,  0.]], dtype=float32)
    >>> ridge(8)
    array([[-1., -1., -1.],
           [-1.,  8., -1.],
           [-1., -1., -1.]], dtype=float32)
    """
    count, floats = as_count(neighbours, "neighbours"), as_float(dtype)
    if count not in (4, 8):
        raise ValueError(f"neighbours must be 4 or 8; got {shown(neighbours)}")
    corner = -1 if count == 8 else 0
    return np.array([[corner, -1, corner], [-1, count, -1], [corner, -1, corner]], floats)


def laplacian(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The sum of the second derivatives along both axes: the five-point Laplacian.

    It is exact for polynomials up to the third degree, and negative on a bright spot.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    log : Smoothed by a Gaussian.
    edge : With 8 neighbours, and the opposite sign.

    Examples
    --------
    >>> from fastconv.kernels import laplacian
    >>> laplacian()
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]], dtype=float32)
    """
    return np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], as_float(dtype))


def log(sigma: float = 1.4, truncate: float = 4.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The Laplacian of a Gaussian: edges are at the zero crossings of the response.

    Negative on a bright spot like `laplacian`, which it equals for a small `sigma` [1]_.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, in pixels.
    truncate : float
        The cut-off in standard deviations: the radius is ``R = max(1, int(truncate * sigma + 0.5))`` pixels.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1)
        The taps.

    Raises
    ------
    ValueError
        If `sigma` or `truncate` is not positive and finite.
    TypeError
        If one is not a number.

    See Also
    --------
    laplacian : Not smoothed.
    fastconv.image.difference_of_gaussians : Close to it.

    Notes
    -----
    The second derivatives of a Gaussian ``g(x) * g(y)`` sum to ``h(x) * g(y) + g(x) * h(y)``, where
    ``h(x) = (x**2 - sigma**2) / sigma**4 * g(x)``. Sampled and cut off, this `h` has a small non-zero sum, and so
    responds to a flat picture, and a slightly wrong second derivative. This kernel instead uses

        ``h(x) = 2 * (x**2 - v) / (w - v**2) * g(x)``

    with the moments ``v = sum(x**2 * g(x))`` and ``w = sum(x**4 * g(x))`` of the sampled `g` (in the continuous case
    ``sigma**2`` and ``3 * sigma**4``). Its response to 1 and ``x`` is 0, and to ``x**2`` 2: up to rounding, the kernel
    is exact for polynomials up to the third degree. `scipy.ndimage.gaussian_laplace` uses the first `h`.

    The taps are multiples of a power of two, `u`: between 2**-23 and 2**-22 times the sum of their magnitudes (between
    2**-52 and 2**-51 for float64). Rounding to these moves a tap by less than `u`, and the central one, which balances
    the sum, by up to ``6 * u``; for float64, rounding errors of the formula add some `u`. Thus the taps sum to exactly
    zero in their type, in any order.

    References
    ----------
    .. [1] Marr, D., Hildreth, E., "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980,
       pp. 187-217.

    Examples
    --------
    >>> from fastconv.kernels import log
    >>> log(0.5, truncate=2).round(2)
    array([[ 0.21,  0.57,  0.21],
           [ 0.57, -3.15,  0.57],
           [ 0.21,  0.57,  0.21]], dtype=float32)
    >>> log().shape, float(log().sum())
    ((13, 13), 0.0)
    """
    floats = as_float(dtype)
    # At 0.1 the Gaussian is one pixel; below, its neighbours underflow and the moments become 0 / 0.
    sigma = max(positive(sigma, "sigma"), 0.1)
    truncate = positive(truncate, "truncate")
    check_size("sigma and truncate", truncate * sigma, truncate * sigma)
    radius = max(1, int(truncate * sigma + 0.5))
    with np.errstate(all="ignore"):
        half = np.outer(curvature_profile(sigma, radius), gaussian_profile(sigma, radius))
        return _without_sum(half + half.T, floats)


def _without_sum(taps: NDArray[np.float64], dtype: np.dtype) -> NDArray[np.floating]:
    """Round `taps`, which have the symmetry of a square, so that they sum to zero in any order.

    They become multiples of a power of two whose magnitudes sum to less than 2**24 of it (2**53 for float64), so that
    all sums are exact. Each tap moves by less than one unit, except the central one, which balances the sum.
    """
    unit = math.ldexp(1, math.frexp(np.abs(taps).sum())[1] - np.finfo(dtype).nmant)
    radius = len(taps) // 2
    # One octant determines all taps: each of its taps occurs four or eight times.
    far, near = np.tril_indices(radius + 1)
    exact = taps[radius + far, radius + near] / unit
    units, middle = np.zeros_like(exact), 0.0
    fourfold = (near == 0) | (near == far)
    for times, group in ((4, fourfold & (far > 0)), (8, ~fourfold)):
        # Round cumulative sums, not taps: the rounding errors of thousands of small taps would add up.
        units[group] = np.diff(np.rint(np.cumsum(exact[group])), prepend=0)
        middle -= times * units[group].sum()
    units[0] = middle
    quarter = np.zeros((radius + 1, radius + 1))
    quarter[far, near] = quarter[near, far] = units
    distance = np.abs(np.arange(-radius, radius + 1))
    return (quarter[np.ix_(distance, distance)] * unit).astype(dtype, copy=False)
