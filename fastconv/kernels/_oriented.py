"""Kernels with an angle: motion blur and Gabor."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_finite, as_float
from fastconv._model.message_formatting import shown
from fastconv.kernels import _coverage
from fastconv.kernels._checks import check_size, positive

_LONGEST_PATH = 1 << 24


def motion(length: float = 9.0, angle: float = 0.0, *, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The mean along a straight line, a model of motion blur.

    The line is centred on the central pixel. A tap is the share of the line that lies in its pixel, a square of side 1,
    so taps change continuously with the angle. They sum to 1.

    Parameters
    ----------
    length : float
        Length in pixels, any positive number. Up to 1 the line lies in one pixel, and the kernel is the identity.
    angle : float
        Direction of the line, in degrees counterclockwise from the right: 0 is along the rows, 90 along the columns,
        and 45 from lower left to upper right. Adding 180 gives the same line.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * C + 1)
        The smallest odd size that holds the line: ``R = ceil((length * abs(sin(angle)) - 1) / 2)``, and C with the
        cosine; one row for 0 degrees, one column for 90. It is point-symmetric. Shares of less than 1e-9 of the line,
        which are rounding errors at corners of pixels, are left out.

    Raises
    ------
    ValueError
        If `length` is not positive and finite, or `angle` is not finite.
    TypeError
        If one is not a number.

    See Also
    --------
    disk : Out of focus.

    Examples
    --------
    >>> from fastconv.kernels import motion
    >>> motion(4)
    array([[0.125, 0.25 , 0.25 , 0.25 , 0.125]], dtype=float32)
    >>> motion(5, 30).round(3)
    array([[0.   , 0.   , 0.   , 0.146, 0.154],
           [0.   , 0.085, 0.231, 0.085, 0.   ],
           [0.154, 0.146, 0.   , 0.   , 0.   ]], dtype=float32)
    """
    floats = as_float(dtype)
    length, angle = positive(length, "length"), as_finite(angle, "angle")
    if length > _LONGEST_PATH:
        raise ValueError(f"length must be at most {_LONGEST_PATH}; got {shown(length)}")
    down, right = _coverage.direction(angle)
    check_size("length", abs(down) * length / 2, abs(right) * length / 2)
    with np.errstate(all="ignore"):
        return _coverage.path(length, angle).astype(floats)  # a copy, in every case


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
    """A Gabor kernel, a wave with a Gaussian envelope, which responds to stripes of one width and direction.

    The real Gabor function [1]_: with the columns `x` to the right and the rows `y` down, counted from the centre,
    ``u = x * cos(angle) - y * sin(angle)`` along the wave and ``v = x * sin(angle) + y * cos(angle)`` along its crests,

        ``cos(2 * pi * u / wavelength + phase) * exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2))``,

    divided by the sum of the exponential factors.

    Parameters
    ----------
    wavelength : float
        Distance between crests, in pixels. Wavelengths below 2 alias in any sampled picture.
    angle : float
        Direction of the wave, across its crests, in degrees counterclockwise from the right. 0 responds to vertical
        stripes.
    sigma : float, optional
        Standard deviation of the envelope along the wave, in pixels. By default ``0.56 * wavelength``: a half-response
        bandwidth of one octave.
    aspect : float
        Aspect of the envelope: its standard deviation along the crests is ``sigma / aspect``.
    phase : float
        Phase in degrees. 0 responds to bright lines; 90 responds to edges, and is positive where brightness increases
        in the direction of `angle`.
    truncate : float
        The cut-off of the envelope, in standard deviations.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (2 * R + 1, 2 * C + 1)
        Large enough for the ellipse at `truncate` standard deviations:
        ``R = int(truncate * hypot(sigma * sin(angle), sigma / aspect * cos(angle)) + 0.5)``, and C with sine and cosine
        exchanged. Computed in float64 and rounded once. For multiples of 90 degrees it is an outer product.

    Raises
    ------
    ValueError
        If `wavelength`, `sigma`, `aspect` or `truncate` is not positive and finite, or `angle` or `phase` is not
        finite.
    TypeError
        If one is not a number.

    See Also
    --------
    fastconv.convolve_bank : An image with several of them.
    gaussian : Its envelope.

    Notes
    -----
    A matching wave of amplitude 1 gives a response of amplitude 1/2. A flat picture gives about ``cos(phase) *
    exp(-2 * (pi * sigma / wavelength)**2)`` times its brightness, 0.002 with the defaults; this is part of the formula
    and is not subtracted.

    ``cv2.getGaborKernel(ksize, sigma, theta, lambd, gamma, psi)`` computes the same without the division, rotated by
    180 degrees since OpenCV correlates, with ``gamma = aspect``, ``psi = phase`` in radians, and ``theta = -angle``:
    its angles are clockwise as the picture is seen. So are those of `skimage.filters.gabor_kernel`, which is not
    rotated, and whose `sigma_x` and `sigma_y` are ``sigma`` and ``sigma / aspect``.

    References
    ----------
    .. [1] Daugman, J., "Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
       two-dimensional visual cortical filters", Journal of the Optical Society of America A 2, 1985, pp. 1160-1169.

    Examples
    --------
    >>> from fastconv.kernels import gabor
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
    wavelength, aspect = positive(wavelength, "wavelength"), positive(aspect, "aspect")
    along = 0.56 * wavelength if sigma is None else positive(sigma, "sigma")
    across = along / aspect
    truncate, phase = positive(truncate, "truncate"), as_finite(phase, "phase")
    down, right = _coverage.direction(as_finite(angle, "angle"))
    reaches = [truncate * math.hypot(along * a, across * b) for a, b in ((down, right), (right, down))]
    check_size("wavelength, sigma, aspect and truncate", *reaches)
    rows, columns = (int(reach + 0.5) for reach in reaches)
    y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    with np.errstate(all="ignore"):
        u, v = x * right + y * down, y * right - x * down
        envelope = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
        wave = np.cos(2 * math.pi / wavelength * u + math.radians(math.fmod(phase, 360)))
        return (wave * envelope / envelope.sum()).astype(floats, copy=False)
