"""Kernels by name.

Every function returns a new 2-D array of float32, so that a picture of 8 or 16 bits, or of float32, is convolved in
float32 (`numpy.result_type`). With ``dtype="float64"`` taps have the precision of float64, the type in which int32 and
float64 pictures are summed. Another type raises a ValueError, and a value that is no type a TypeError.

All are *convolution* kernels: `fastconv.convolve2d` flips them. An asymmetric kernel that a book or a program prints as
a template to be laid over the picture (a correlation) therefore stands here turned by 180 degrees, and means the same.

Rows go down and columns go to the right. Angles are in degrees, counterclockwise from the right as one sees the
picture: 0 points along a row to higher columns, 90 up a column to lower rows.

`parse` and `read` make kernels of rows of numbers, and `from_pillow` of those in `PIL.ImageFilter`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_finite, as_float, as_integer
from fastconv._model.messages import PASSED, shown
from fastconv.kernels import _shapes
from fastconv.kernels._notation import parse, read
from fastconv.kernels._notation import quotient as quotient
from fastconv.kernels._pillow import from_pillow

__all__ = [
    "NAMES",
    "box",
    "disk",
    "edge",
    "emboss",
    "from_pillow",
    "gabor",
    "gaussian",
    "laplacian",
    "log",
    "motion",
    "named",
    "parse",
    "prewitt_x",
    "prewitt_y",
    "read",
    "scharr_x",
    "scharr_y",
    "sharpen",
    "sobel_x",
    "sobel_y",
    "unsharp",
]

_T = TypeVar("_T")


# ----------------------------------------------------------------------------------------------- sharper, and in relief


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


def sharpen(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The picture minus its Laplacian: edges stand out, flat parts keep their brightness.

    The Laplacian is that of `laplacian`. The taps sum to 1.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    References
    ----------
    Gonzalez and Woods, as for `edge`.

    Examples
    --------
    >>> sharpen()
    array([[ 0., -1.,  0.],
           [-1.,  5., -1.],
           [ 0., -1.,  0.]], dtype=float32)
    """
    return np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], as_float(dtype))


def unsharp(
    sigma: float | tuple[float, float] = 1.0,
    amount: float = 1.0,
    truncate: float = 4.0,
    *,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """The picture plus what a Gaussian blur takes from it: edges stand out, flat parts keep their brightness.

    The kernel is ``identity + amount * (identity - gaussian(sigma, truncate))``, unsharp masking by [1]_. The taps sum
    to 1.

    Parameters
    ----------
    sigma, truncate
        As for `gaussian`.
    amount : float
        How much of the difference to add. Less than 0 blurs; -1 is the Gaussian.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape as of `gaussian`
        Computed in float64 and rounded once.

    Raises
    ------
    ValueError
        As `gaussian`; if `amount` is not finite.
    TypeError
        As `gaussian`; if `amount` is not a number.

    References
    ----------
    .. [1] Gonzalez and Woods, as for `edge`.

    Examples
    --------
    >>> unsharp(sigma=0.5, amount=2, truncate=2).round(3)
    array([[-0.023, -0.168, -0.023],
           [-0.168,  1.761, -0.168],
           [-0.023, -0.168, -0.023]], dtype=float32)
    """
    floats = as_float(dtype)
    lines = _bells(sigma, truncate)
    amount = as_finite(amount, "amount")
    if abs(amount) > float(np.finfo(floats).max):
        raise ValueError(f"amount must be a number that leaves taps finite in {floats}; got {shown(amount)}")
    with np.errstate(all="ignore"):
        kernel = -amount * np.outer(*lines)
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] += 1 + amount
        return kernel.astype(floats, copy=False)


def emboss(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The picture plus its slope towards the lower right: a relief, lit from the upper left.

    The taps sum to 1, so flat parts keep their brightness.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)

    Notes
    -----
    The GIMP manual ("Convolution Matrix") gives the template -2 -1 0; -1 1 1; 0 1 2. This is it, turned.

    Examples
    --------
    >>> emboss()
    array([[ 2.,  1.,  0.],
           [ 1.,  1., -1.],
           [ 0., -1., -2.]], dtype=float32)
    """
    return np.array([[2, 1, 0], [1, 1, -1], [0, -1, -2]], as_float(dtype))


# -------------------------------------------------------------------------------------------------------------- blurred


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
    rows, columns = _both(size, "size", _count)
    if rows * columns > _MOST_TAPS:
        raise ValueError(f"size must give a kernel of at most {_MOST_TAPS} taps; got {shown(size)}")
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
    radius = _positive(radius, "radius")
    _check_size("radius", radius, radius)
    with np.errstate(all="ignore"):
        return _shapes.disk(radius).astype(floats, copy=False)


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
        return np.outer(*_bells(sigma, truncate)).astype(floats, copy=False)


def motion(length: float = 9.0, angle: float = 0.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean along a straight line: a picture taken with a moving camera.

    A tap is the part of the line that lies in its pixel, a square of side 1: the part of the exposure that a point of
    the picture spends there. The line's middle is that of the middle pixel. So pixels that it only grazes count little,
    and the taps change without jumps as the line turns. They sum to 1.

    Parameters
    ----------
    length : float
        Of the line, in pixels, any positive number. Up to 1 it lies in one pixel, and the picture stays as it is.
    angle : float
        Direction of the line, in degrees counterclockwise from the right: 0 is along the rows, 90 along the columns,
        and 45 from lower left to upper right. 180 more is the same line.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * C + 1)
        The smallest odd size that has room: ``R = ceil((length * abs(sin(angle)) - 1) / 2)``, and C with the
        cosine; one row for 0 degrees, one column for 90. The same turned by 180 degrees. What is less than 1e-9 of the
        line is left out, since rounding may leave that where the line meets the corners of pixels.

    Raises
    ------
    ValueError
        If `length` is not positive and finite, or `angle` is not finite.
    TypeError
        If one is not a number.

    Examples
    --------
    >>> motion(4)
    array([[0.125, 0.25 , 0.25 , 0.25 , 0.125]], dtype=float32)
    >>> motion(5, 30).round(3)
    array([[0.   , 0.   , 0.   , 0.146, 0.154],
           [0.   , 0.085, 0.231, 0.085, 0.   ],
           [0.154, 0.146, 0.   , 0.   , 0.   ]], dtype=float32)
    """
    floats = as_float(dtype)
    length, angle = _positive(length, "length"), as_finite(angle, "angle")
    if length > _LONGEST_PATH:
        raise ValueError(f"length must be at most {_LONGEST_PATH}; got {shown(length)}")
    down, right = _shapes.direction(angle)
    _check_size("length", abs(down) * length / 2, abs(right) * length / 2)
    with np.errstate(all="ignore"):
        return _shapes.path(length, angle).astype(floats, copy=False)


_LONGEST_PATH = 1 << 24


# ----------------------------------------------------------------------------------------------------- first derivative


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


# ----------------------------------------------------------------------------------------- second derivative, and waves


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
    sigma = max(_positive(sigma, "sigma"), 0.1)
    truncate = _positive(truncate, "truncate")
    _check_size("sigma and truncate", truncate * sigma, truncate * sigma)
    radius = max(1, int(truncate * sigma + 0.5))
    bell = _bell(sigma, radius)
    square = np.arange(-radius, radius + 1.0) ** 2
    with np.errstate(all="ignore"):
        second = bell @ square
        curved = 2 * (square - second) * bell / (bell @ square**2 - second**2)
        half = np.outer(curved, bell)
        return _without_sum(half + half.T, floats)


def gabor(
    wavelength: float = 4.0,
    angle: float = 0.0,
    sigma: float | None = None,
    aspect: float = 0.5,
    phase: float = 0.0,
    truncate: float = 4.0,
    *,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """A wave under a bell: it responds to stripes of one width and one direction.

    The real Gabor function [1]_: with the columns `x` to the right and the rows `y` down, counted from the middle,
    ``u = x * cos(angle) - y * sin(angle)`` along the wave and ``v = x * sin(angle) + y * cos(angle)`` along its crests,

        ``cos(2 * pi * u / wavelength + phase) * exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2))``,

    divided by the sum of the exponentials.

    Parameters
    ----------
    wavelength : float
        From crest to crest, in pixels. Waves of less than 2 are not seen as such by any sampled picture.
    angle : float
        In which direction the wave runs, across its crests, in degrees counterclockwise from the right. 0 responds to
        stripes that run down the picture.
    sigma : float, optional
        Standard deviation of the bell along the wave, in pixels. By default ``0.56 * wavelength``: the
        response falls to one half at the ends of one octave of wavelengths.
    aspect : float
        Of the bell: its standard deviation along the crests is ``sigma / aspect``.
    phase : float
        In degrees. 0 responds to bright lines. 90 responds to edges, and is positive where brightness grows in the
        direction of `angle`.
    truncate : float
        Where to cut the bell off, in standard deviations.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * C + 1)
        Large enough for the ellipse that is `truncate` standard deviations away from the middle:
        ``R = int(truncate * hypot(sigma * sin(angle), sigma / aspect * cos(angle)) + 0.5)``, and C with sine and cosine
        exchanged. Computed in float64 and rounded once. For multiples of 90 degrees it is an outer product.

    Raises
    ------
    ValueError
        If `wavelength`, `sigma`, `aspect` or `truncate` is not positive and finite, or `angle` or `phase` is not
        finite.
    TypeError
        If one is not a number.

    Notes
    -----
    A wave of amplitude 1 that fits gives a response of amplitude 1/2. A flat picture gives about ``cos(phase) *
    exp(-2 * (pi * sigma / wavelength)**2)`` times its brightness: 0.002 with the defaults. It is the formula's own,
    and is not subtracted.

    ``cv2.getGaborKernel(ksize, sigma, theta, lambd, gamma, psi)`` computes the same, undivided, turned by 180 degrees
    since OpenCV correlates, with ``gamma = aspect`` and ``psi = phase`` in radians, and ``theta = -angle``: its angles
    go clockwise as one sees the picture. So do those of `skimage.filters.gabor_kernel`, which is not turned, and whose
    `sigma_x` and `sigma_y` are ``sigma`` and ``sigma / aspect``.

    References
    ----------
    .. [1] J. G. Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
       two-dimensional visual cortical filters", Journal of the Optical Society of America A 2, 1985, pp. 1160-1169.

    Examples
    --------
    >>> gabor(wavelength=4, sigma=1, aspect=1, truncate=2).round(2)[2]
    array([-0.02,  0.  ,  0.16,  0.  , -0.02], dtype=float32)

    >>> import fastconv, numpy as np
    >>> stripes = np.tile(np.cos(np.arange(80) * 2 * np.pi / 4), (80, 1))  # crests 4 columns apart
    >>> for angle in (0, 90):
    ...     print(abs(fastconv.convolve2d(stripes, gabor(4, angle), "valid")).max().round(3))
    0.5
    0.0
    """
    floats = as_float(dtype)
    wavelength, aspect = _positive(wavelength, "wavelength"), _positive(aspect, "aspect")
    along = 0.56 * wavelength if sigma is None else _positive(sigma, "sigma")
    across = along / aspect
    truncate, phase = _positive(truncate, "truncate"), as_finite(phase, "phase")
    down, right = _shapes.direction(as_finite(angle, "angle"))
    reaches = [truncate * math.hypot(along * a, across * b) for a, b in ((down, right), (right, down))]
    _check_size("wavelength, sigma, aspect and truncate", *reaches)
    rows, columns = (int(reach + 0.5) for reach in reaches)
    y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    with np.errstate(all="ignore"):
        u, v = x * right + y * down, y * right - x * down
        bell = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
        wave = np.cos(2 * math.pi / wavelength * u + math.radians(math.fmod(phase, 360)))
        return (wave * bell / bell.sum()).astype(floats, copy=False)


# -------------------------------------------------------------------------------------------------------------- by name

#: The functions above by the names that the command knows them by.
NAMES: Mapping[str, Callable[..., NDArray[np.floating]]] = MappingProxyType(
    {
        "edge": edge,
        "sharpen": sharpen,
        "unsharp": unsharp,
        "emboss": emboss,
        "box": box,
        "disk": disk,
        "gaussian": gaussian,
        "motion": motion,
        "sobel-x": sobel_x,
        "sobel-y": sobel_y,
        "prewitt-x": prewitt_x,
        "prewitt-y": prewitt_y,
        "scharr-x": scharr_x,
        "scharr-y": scharr_y,
        "laplacian": laplacian,
        "log": log,
        "gabor": gabor,
    }
)


def named(name: str, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The kernel of that name, in its default size.

    Parameters
    ----------
    name : str
        A key of `NAMES`.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    ndarray of `dtype`, 2-D

    Raises
    ------
    ValueError
        If there is no kernel of that name.
    TypeError
        If `name` is no string.

    Examples
    --------
    >>> named("box").shape
    (3, 3)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, one of {', '.join(NAMES)}; got {shown(name)}")
    plain = str.__str__(name)  # a member of an enumeration, say
    if plain not in NAMES:
        raise ValueError(f"no kernel is called {shown(name)}; there are {', '.join(NAMES)}")
    return NAMES[plain](dtype=dtype)


# -------------------------------------------------------------------------------------------------- bells and arguments


def _bell(sigma: float, radius: int) -> NDArray[np.float64]:
    """Samples of a Gaussian at -radius .. radius, with the sum 1."""
    with np.errstate(all="ignore"):
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        return line / math.fsum(line)


def _bells(sigma: Any, truncate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Those that a 2-D Gaussian is the outer product of: down a column, and along a row."""
    sigmas = _both(sigma, "sigma", _positive)
    cut = _positive(truncate, "truncate")
    reaches = [cut * one for one in sigmas]
    _check_size("sigma and truncate", *reaches)
    down, right = (_bell(one, int(reach + 0.5)) for one, reach in zip(sigmas, reaches))
    return down, right


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


def _check_size(names: str, down: float, right: float) -> None:
    """Complain of a kernel that reaches so many pixels to either side, if none of that size is of use to anybody."""
    taps = (2 * down + 1) * (2 * right + 1)
    if not taps <= _MOST_TAPS:
        raise ValueError(f"{names} must give a kernel of at most {_MOST_TAPS} taps; got about {taps:.3g}")


# 1 GB of float32, 2 of float64.
_MOST_TAPS = 1 << 28


def _both(value: Any, name: str, check: Callable[[Any, str], _T]) -> tuple[_T, _T]:
    """What `check` makes of a value for both axes, or of one for each."""
    if not isinstance(value, (tuple, list)) and not (isinstance(value, np.ndarray) and value.ndim):
        one = check(value, name)
        return one, one
    if len(value) != 2:
        raise ValueError(f"{name} must be one number, or two for (rows, columns); got {shown(value)}")
    return check(value[0], f"{name}[0]"), check(value[1], f"{name}[1]")


def _count(value: Any, name: str) -> int:
    try:
        count = as_integer(value)
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"{name} must be a positive integer; got {shown(value)}") from error
    if count < 1:
        raise ValueError(f"{name} must be a positive integer; got {shown(value)}")
    return count


def _positive(value: Any, name: str) -> float:
    return as_finite(value, name, positive=True)
