"""OpenCV's functions that return kernels."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.compat._unsupported import Unsupported
from fastconv.compat.cv2._arguments import ASSERTION, as_dst, as_integer, as_number, as_pair, as_truth, error
from fastconv.compat.cv2._depths import CV_32F, CV_64F
from fastconv.compat.cv2._kernels import derivatives, gabor, gaussian, normalized


def getGaussianKernel(ksize: int, sigma: float, ktype: int = CV_64F) -> NDArray[np.floating]:
    """Return the taps of a Gaussian, as `cv2.getGaussianKernel`.

    Parameters
    ----------
    ksize : int
        The number of taps.
    sigma : float
        The standard deviation in samples. If it is not positive it is derived from `ksize`, and small odd sizes have
        fixed taps, multiples of 1/256.
    ktype : int
        ``CV_32F`` or ``CV_64F``.

    Returns
    -------
    ndarray of float32 or float64, shape (ksize, 1)
        Taps that add up to 1.

    Raises
    ------
    error
        For a `ksize` that is not positive, and another type.
    TypeError
        For arguments that are not numbers of the right kind.

    See Also
    --------
    fastconv.kernels.gaussian : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat import cv2
    >>> cv2.getGaussianKernel(3, 0).ravel()
    array([0.25, 0.5 , 0.25])
    """
    with _binding_errors():
        size, spread, depth = as_integer(ksize, "ksize"), as_number(sigma, "sigma"), as_integer(ktype, "ktype", CV_64F)
    dtype = _kernel_type(depth, CV_64F)
    with np.errstate(under="ignore"):
        return gaussian(size, max(0.0, spread))[:, np.newaxis].astype(dtype)


def getDerivKernels(
    dx: int,
    dy: int,
    ksize: int,
    kx: NDArray | None = None,
    ky: NDArray | None = None,
    normalize: bool = False,
    ktype: int = CV_32F,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the taps of `Sobel` and `Scharr`, as `cv2.getDerivKernels`.

    Parameters
    ----------
    dx, dy, ksize : int
        As for `Sobel`.
    kx, ky : ndarray, optional
        Arrays for the result, used if shape and type fit.
    normalize : bool
        Whether to scale the taps to unit response to a unit slope.
    ktype : int
        ``CV_32F`` or ``CV_64F``.

    Returns
    -------
    pair of ndarrays of float32 or float64, shapes (L, 1) and (K, 1)
        The taps along x, and along y.

    Raises
    ------
    error
        As `Sobel`, and for another type.

    See Also
    --------
    fastconv.kernels.sobel_x : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat import cv2
    >>> [taps.ravel().tolist() for taps in cv2.getDerivKernels(1, 0, 3)]
    [[-1.0, 0.0, 1.0], [1.0, 2.0, 1.0]]
    """
    orders, size = (as_integer(dx, "dx"), as_integer(dy, "dy")), as_integer(ksize, "ksize")
    dtype, divided = _kernel_type(ktype, CV_32F), as_truth(normalize, "normalize", False)
    row, column = derivatives(*orders, size)
    if divided:
        row, column = normalized(row, orders[0], size), normalized(column, orders[1], size)
    return _as_column(row, kx, dtype), _as_column(column, ky, dtype)


def getGaborKernel(
    ksize: tuple[int, int],
    sigma: float,
    theta: float,
    lambd: float,
    gamma: float,
    psi: float = math.pi / 2,
    ktype: int = CV_64F,
) -> NDArray[np.floating]:
    """Return a Gabor kernel, a wave under a Gaussian, as `cv2.getGaborKernel`.

    With x to the right and y downwards from the middle::

        u = x * cos(theta) + y * sin(theta)
        v = y * cos(theta) - x * sin(theta)
        kernel = exp(-(u**2 + (gamma * v)**2) / (2 * sigma**2)) * cos(psi - 2 * pi * u / lambd)

    Parameters
    ----------
    ksize : pair of int
        Width and height. An even number is enlarged by one; one that is not positive is derived: three sigma on either
        side.
    sigma : float
        The standard deviation across the wave, in pixels.
    theta : float
        Direction of the wave, in radians.
    lambd : float
        Wavelength, in pixels.
    gamma : float
        Ratio of the standard deviations across and along the wave.
    psi : float
        Phase in the middle, in radians.
    ktype : int
        ``CV_32F`` or ``CV_64F``.

    Returns
    -------
    ndarray of float32 or float64, shape (height, width)
        The taps.

    Raises
    ------
    error
        For another type.
    TypeError
        For arguments that are not numbers of the right kind.
    Unsupported
        For numbers that are not finite, a `sigma` or `lambd` of 0, a `gamma` of 0 without a `ksize`, and more than 4
        million taps.

    See Also
    --------
    fastconv.kernels.gabor : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat import cv2
    >>> cv2.getGaborKernel((3, 3), 1, 0, 4, 1, 0).round(3)
    array([[0.   , 0.607, 0.   ],
           [0.   , 1.   , 0.   ],
           [0.   , 0.607, 0.   ]])
    """
    names = ("sigma", "theta", "lambd", "gamma", "psi")
    with _binding_errors():
        size = as_pair(ksize, "ksize", (0, 0))
        numbers = tuple(map(as_number, (sigma, theta, lambd, gamma, psi), names))
        depth = as_integer(ktype, "ktype", CV_64F)
    dtype = _kernel_type(depth, CV_64F)
    for name, number in zip(names, numbers):
        if not math.isfinite(number) or (number == 0 and name in ("sigma", "lambd")):
            raise Unsupported(f"{name} must be finite, and not 0, for fastconv; got {number}")
    with np.errstate(under="ignore"):
        return gabor(size, *numbers).astype(dtype)


@contextlib.contextmanager
def _binding_errors() -> Iterator[None]:
    """Raise TypeErrors, as OpenCV's binding does for functions with a single signature."""
    try:
        yield
    except error as problem:
        raise TypeError(str(problem)) from None


def _as_column(taps: NDArray, given: NDArray | None, dtype: np.dtype) -> NDArray:
    """Return the taps as a column, in `given` if shape and type fit."""
    found = taps[:, np.newaxis].astype(dtype)
    place = None if given is None else as_dst(given, found.shape, dtype)
    if given is None or place is None:
        return found
    place[...] = found
    return given


def _kernel_type(ktype: Any, default: int) -> np.dtype:
    depth = as_integer(ktype, "ktype", default)
    if depth not in (CV_32F, CV_64F):
        raise error(f"ktype must be {CV_32F} (float32) or {CV_64F} (float64); got {depth}", ASSERTION)
    return np.dtype(np.float32 if depth == CV_32F else np.float64)
