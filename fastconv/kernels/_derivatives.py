"""Kernels of first and second derivatives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_float
from fastconv.kernels._checks import check_size, positive
from fastconv.kernels._profiles import gaussian_profile


def sobel_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The slope to the right, after Sobel: positive where brightness grows with the column.

    A difference across two columns, smoothed over three rows [1]_. A slope of 1 a pixel gives 8.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    References
    ----------
    .. [1] I. Sobel and G. Feldman, "A 3x3 isotropic gradient operator for image processing", talk at the Stanford
       Artificial Intelligence Project, 1968.

    Examples
    --------
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
    """The slope downwards, after Sobel: positive where brightness grows with the row.

    It is `sobel_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    Examples
    --------
    >>> sobel_y()
    array([[ 1.,  2.,  1.],
           [ 0.,  0.,  0.],
           [-1., -2., -1.]], dtype=float32)
    """
    return np.ascontiguousarray(sobel_x(dtype=dtype).T)


def prewitt_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The slope to the right, after Prewitt: positive where brightness grows with the column.

    A difference across two columns, summed over three rows [1]_. A slope of 1 a pixel gives 6.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    References
    ----------
    .. [1] J. M. S. Prewitt, "Object enhancement and extraction", in B. S. Lipkin and A. Rosenfeld (eds.), Picture
       Processing and Psychopictorics, Academic Press 1970.

    Examples
    --------
    >>> prewitt_x()
    array([[ 1.,  0., -1.],
           [ 1.,  0., -1.],
           [ 1.,  0., -1.]], dtype=float32)
    """
    return np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]], as_float(dtype))


def prewitt_y(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The slope downwards, after Prewitt: positive where brightness grows with the row.

    It is `prewitt_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    Examples
    --------
    >>> prewitt_y()
    array([[ 1.,  1.,  1.],
           [ 0.,  0.,  0.],
           [-1., -1., -1.]], dtype=float32)
    """
    return np.ascontiguousarray(prewitt_x(dtype=dtype).T)


def scharr_x(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The slope to the right, after Scharr: positive where brightness grows with the column.

    As `sobel_x`, with weights of the rows for which the direction of the gradient, from this and `scharr_y`, depends
    less on how the picture is turned [1]_. A slope of 1 a pixel gives 32.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    References
    ----------
    .. [1] H. Scharr, Optimale Operatoren in der Digitalen Bildverarbeitung, doctoral thesis, University of Heidelberg,
       2000.

    Examples
    --------
    >>> scharr_x()
    array([[  3.,   0.,  -3.],
           [ 10.,   0., -10.],
           [  3.,   0.,  -3.]], dtype=float32)
    """
    return np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]], as_float(dtype))


def scharr_y(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The slope downwards, after Scharr: positive where brightness grows with the row.

    It is `scharr_x` transposed.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    Examples
    --------
    >>> scharr_y()
    array([[  3.,  10.,   3.],
           [  0.,   0.,   0.],
           [ -3., -10.,  -3.]], dtype=float32)
    """
    return np.ascontiguousarray(scharr_x(dtype=dtype).T)


def edge(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Eight times a pixel minus its eight neighbours: no response where a picture is flat or a plane slope.

    It is the negative of the Laplacian that takes the diagonals in [1]_, and positive on a bright spot.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    References
    ----------
    .. [1] R. C. Gonzalez and R. E. Woods, Digital Image Processing, 4th ed., Pearson 2018, section 3.6.

    Examples
    --------
    >>> edge()
    array([[-1., -1., -1.],
           [-1.,  8., -1.],
           [-1., -1., -1.]], dtype=float32)
    """
    return np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], as_float(dtype))


def laplacian(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The second derivatives along both axes, summed: the five-point stencil of the Laplace operator.

    It is exact for polynomials up to the third degree, and negative on a bright spot.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    Examples
    --------
    >>> laplacian()
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]], dtype=float32)
    """
    return np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], as_float(dtype))


def log(sigma: float = 1.4, truncate: float = 4.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The Laplacian of the picture blurred by a Gaussian: edges are where its sign changes.

    Negative on a bright spot, as `laplacian`, which it is for a small `sigma`. Its zeros are the edges of [1]_.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, in pixels.
    truncate : float
        Where to cut it off, as in `gaussian`: the radius is ``R = max(1, int(truncate * sigma + 0.5))`` pixels.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * R + 1)

    Raises
    ------
    ValueError
        If `sigma` or `truncate` is not positive and finite.
    TypeError
        If one is not a number.

    Notes
    -----
    The second derivatives of a bell ``g(x) * g(y)`` sum to ``h(x) * g(y) + g(x) * h(y)``, where
    ``h(x) = (x**2 - sigma**2) / sigma**4 * g(x)``. Sampled and cut off, such an `h` has a small sum, by which a flat
    picture would respond, and misses the curvature a little. So here, with the moments ``v = sum(x**2 * g(x))`` and
    ``w = sum(x**4 * g(x))`` of the sampled `g`, which would be ``sigma**2`` and ``3 * sigma**4``,

        ``h(x) = 2 * (x**2 - v) / (w - v**2) * g(x)``.

    That responds to 1 and ``x`` with 0, and to ``x**2`` with 2: the kernel is exact for polynomials up to the third
    degree, but for rounding. `scipy.ndimage.gaussian_laplace` takes the first `h`.

    The taps are multiples of a power of two, `u`: between 2**-23 and 2**-22 times the sum of their magnitudes (between
    2**-52 and 2**-51 for float64). Rounding to that moves them by less than `u`, but the middle one, which takes what
    they lack to the sum 0, by up to ``6 * u``; for float64, the rounding of the formula moves them by some `u` more. So
    they sum to exactly zero in their type, in any order.

    References
    ----------
    .. [1] D. Marr and E. Hildreth, "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980,
       pp. 187-217.

    Examples
    --------
    >>> log(0.5, truncate=2).round(2)
    array([[ 0.21,  0.57,  0.21],
           [ 0.57, -3.15,  0.57],
           [ 0.21,  0.57,  0.21]], dtype=float32)
    >>> log().shape, float(log().sum())
    ((13, 13), 0.0)
    """
    floats = as_float(dtype)
    # The bell of 0.1 is one pixel already; of less, nothing beside that pixel would be left to divide by.
    sigma = max(positive(sigma, "sigma"), 0.1)
    truncate = positive(truncate, "truncate")
    check_size("sigma and truncate", truncate * sigma, truncate * sigma)
    radius = max(1, int(truncate * sigma + 0.5))
    bell = gaussian_profile(sigma, radius)
    square = np.arange(-radius, radius + 1.0) ** 2
    with np.errstate(all="ignore"):
        second = bell @ square
        curved = 2 * (square - second) * bell / (bell @ square**2 - second**2)
        half = np.outer(curved, bell)
        return _without_sum(half + half.T, floats)


def _without_sum(taps: NDArray[np.float64], dtype: np.dtype) -> NDArray[np.floating]:
    """`taps`, symmetric as a square is, rounded so that they sum to zero, whatever the order of the sum.

    They become multiples of a power of two, with magnitudes that sum to less than 2**24 of it (2**53 for float64): all
    sums are exact. Each is less than one of it away from what it was, but the middle one, which takes up the rest.
    """
    unit = math.ldexp(1, math.frexp(np.abs(taps).sum())[1] - np.finfo(dtype).nmant)
    radius = len(taps) // 2
    # One eighth of the taps tells the others: each stands four or eight times.
    far, near = np.tril_indices(radius + 1)
    exact = taps[radius + far, radius + near] / unit
    units, middle = np.zeros_like(exact), 0.0
    fourfold = (near == 0) | (near == far)
    for times, group in ((4, fourfold & (far > 0)), (8, ~fourfold)):
        # Sums are rounded, not taps: the rounding of thousands of small ones would add up.
        units[group] = np.diff(np.rint(np.cumsum(exact[group])), prepend=0)
        middle -= times * units[group].sum()
    units[0] = middle
    quarter = np.zeros((radius + 1, radius + 1))
    quarter[far, near] = quarter[near, far] = units
    distance = np.abs(np.arange(-radius, radius + 1))
    return (quarter[np.ix_(distance, distance)] * unit).astype(dtype, copy=False)
