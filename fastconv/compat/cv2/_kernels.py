"""OpenCV's kernels (Gaussian, Sobel, Scharr, Gabor) and its rules for their sizes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastconv._runtime.bounded_cache import kept
from fastconv.compat._unsupported import Unsupported
from fastconv.compat.cv2._arguments import ASSERTION, OUT_OF_RANGE, error

# Gaussians of small sizes without a sigma, in 256ths.
_SMALL = {
    1: (256,),
    3: (64, 128, 64),
    5: (16, 64, 96, 64, 16),
    7: (8, 28, 56, 72, 56, 28, 8),
    9: (4, 13, 30, 51, 60, 51, 30, 13, 4),
}
_LARGEST_DERIVATIVE = 31
# Standard deviations on either side of a Gabor kernel without a size.
_GABOR_DEVIATIONS = 3
# Largest kernel: 32 MB of float64.
_MOST_TAPS = 1 << 22


@kept
def gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """Return the taps of a Gaussian, read-only; a `sigma` of 0 or less is derived from the size."""
    if size < 1:
        raise error(f"ksize must be positive; got {size}", ASSERTION)
    if not sigma > 0 and size in _SMALL:
        taps = np.array(_SMALL[size]) / 256
    else:
        spread = sigma if sigma > 0 else 0.3 * ((size - 1) * 0.5 - 1) + 0.8
        with np.errstate(over="ignore", under="ignore"):
            taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / spread) ** 2)
        taps /= taps.sum()
    taps.flags.writeable = False
    return taps


def gaussian_size(given: int, sigma: float, is_bytes: bool) -> int:
    """Return the size of a Gaussian: as given, or derived from sigma."""
    size = given
    if size <= 0 < sigma < math.inf:
        size = round((3 if is_bytes else 4) * sigma * 2 + 1) | 1
    if size <= 0 or size % 2 == 0:
        raise error(f"ksize must be positive and odd, or 0 with a sigma; got {given} with sigma {sigma}", ASSERTION)
    return size


def whole(taps: NDArray[np.float64], one: int) -> NDArray[np.int64]:
    """Round the taps of a Gaussian to integers with the sum `one`.

    The rounding error of a tap is carried to its neighbour towards the middle.
    """
    found, middle, left = np.zeros(len(taps), np.int64), len(taps) // 2, 0.0
    for k in range(middle):
        wanted = float(taps[k]) * one + left
        found[k] = found[-1 - k] = round(wanted)
        left = wanted - round(wanted)
    found[middle] = one - found.sum()
    return found


@kept
def derivatives(dx: int, dy: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the taps of a Sobel kernel along x and along y; of Scharr's for a size of 0 or less."""
    if size <= 0:
        if not (dx >= 0 and dy >= 0 and dx + dy == 1):
            raise error(f"dx and dy must be 1 and 0, or 0 and 1, for Scharr's kernels; got {dx} and {dy}", ASSERTION)
        return _scharr(dx), _scharr(dy)
    if size % 2 == 0 or size > _LARGEST_DERIVATIVE:
        raise error(f"ksize must be odd and at most {_LARGEST_DERIVATIVE}; got {size}", OUT_OF_RANGE)
    if not (dx >= 0 and dy >= 0 and dx + dy > 0):
        raise error(f"dx and dy must not be negative, nor both be 0; got {dx} and {dy}", ASSERTION)
    return _sobel(dx, size), _sobel(dy, size)


def _scharr(order: int) -> NDArray[np.float64]:
    return np.array([-1.0, 0.0, 1.0] if order else [3.0, 10.0, 3.0])


def _sobel(order: int, size: int) -> NDArray[np.float64]:
    """Differences of order `order`, smoothed by binomials to `size` taps."""
    size = 3 if size == 1 and order > 0 else size
    if not size > order:
        raise error(f"ksize must be larger than dx and dy; got {size} and an order of {order}", ASSERTION)
    taps = np.ones(1)
    for _ in range(size - order - 1):
        taps = np.convolve(taps, [1.0, 1.0])
    for _ in range(order):
        taps = np.convolve(taps, [-1.0, 1.0])
    return taps


def normalized(taps: NDArray[np.float64], order: int, size: int) -> NDArray[np.float64]:
    """Scale the taps of a derivative to unit response to a unit slope."""
    if size <= 0:
        return taps if order else taps / 32
    return taps / math.ldexp(1, len(taps) - order - 1)


def gabor(
    size: tuple[int, int], sigma: float, theta: float, wavelength: float, gamma: float, phase: float
) -> NDArray[np.float64]:
    """Return a Gabor kernel: see `getGaborKernel`."""
    cos, sin = math.cos(theta), math.sin(theta)
    spreads = abs(sigma), abs(sigma / gamma) if gamma else math.inf
    radii = []
    for given, parts in zip(size, ((cos, sin), (sin, cos))):
        reach = _GABOR_DEVIATIONS * max(spread * abs(part) for spread, part in zip(spreads, parts) if part)
        if given <= 0 and not reach < _MOST_TAPS:
            raise Unsupported(f"ksize must be positive for fastconv, for a sigma of {sigma} and a gamma of {gamma}")
        radii.append(given // 2 if given > 0 else round(reach))
    check_taps(2 * radii[0] + 1, 2 * radii[1] + 1)
    x, y = (np.arange(-radius, radius + 1.0) for radius in radii)
    across = np.add.outer(y * sin, x * cos)
    along = np.subtract.outer(y * cos, x * sin)
    return np.exp(-0.5 * ((across / sigma) ** 2 + (along / spreads[1]) ** 2)) * np.cos(
        phase - 2 * math.pi / wavelength * across
    )


def check_taps(width: int, height: int) -> None:
    """Refuse kernels whose arrays would be too large."""
    if width * height > _MOST_TAPS:
        raise Unsupported(f"ksize must be of at most {_MOST_TAPS} pixels for fastconv; got {width} x {height}")
