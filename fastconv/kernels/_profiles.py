"""One-dimensional Gaussian profiles, the factors of Gaussians of any number of axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._model.arguments import as_finite, as_integer
from fastconv._model.message_formatting import shown
from fastconv._model.passed_exceptions import passed
from fastconv._runtime.bounded_cache import kept
from fastconv.kernels._checks import check_size, each, positive


def gaussian_profile(sigma: float, radius: int, order: int = 0) -> NDArray[np.float64]:
    """Return samples of a Gaussian at -radius .. radius, normalised to the sum 1, or their derivative of an order.

    That of order n is ``(-1 / sigma)**n He_n(x / sigma)`` times the Gaussian, with the Hermite polynomial He_n.
    """
    return _kept_profile(sigma, radius, order)


@kept
def _kept_profile(sigma: float, radius: int, order: int) -> NDArray[np.float64]:
    found = _profile(sigma, radius, order)
    found.setflags(write=False)
    return found


def _profile(sigma: float, radius: int, order: int) -> NDArray[np.float64]:
    if sigma == 0:
        return np.ones(1)
    with np.errstate(all="ignore"):
        distance = np.arange(-radius, radius + 1) / sigma
        line = np.exp(-0.5 * distance**2)
        line = line / math.fsum(line)
        if order:
            line = np.polynomial.hermite_e.HermiteE.basis(order)(distance) * line / np.float64(-sigma) ** order
        return line


def curvature_profile(sigma: float, radius: int) -> NDArray[np.float64]:
    """Return a second derivative of a Gaussian whose response to 1 and x is 0, and to x**2 is 2: see `log`."""
    profile = gaussian_profile(sigma, radius)
    square = np.arange(-radius, radius + 1.0) ** 2
    with np.errstate(all="ignore"):
        second = profile @ square
        return 2 * (square - second) * profile / (profile @ square**2 - second**2)


def gaussian_profiles(
    sigma: Any, truncate: Any, count: int = 2, order: Any = 0, check: Callable[[Any, str], float] = positive
) -> tuple[NDArray[np.float64], ...]:
    """Return the factors of a Gaussian of `count` axes: of two, the column and the row.

    `check` converts a sigma; one of 0 gives the identity. `order` is that of a derivative, or one for each axis.
    """
    sigmas = each(sigma, "sigma", check, count)
    orders = each(order, "order", as_order, count)
    cut = positive(truncate, "truncate")
    reaches = [cut * one for one in sigmas]
    for part in [reaches] if count == 2 else ([reach] for reach in reaches):  # the product of more is never made
        check_size("sigma and truncate", *part)
    if any(derived and not one for one, derived in zip(sigmas, orders)):
        raise ValueError(f"order must be 0 along an axis with a sigma of 0; got {shown(order)}")
    found = zip(sigmas, reaches, orders)
    return tuple(gaussian_profile(one, int(reach + 0.5), derived) for one, reach, derived in found)


# Beyond it, the polynomial of a derivative has coefficients that cancel to nothing.
MOST_DERIVATIVES = 16


def as_order(value: Any, name: str) -> int:
    """Convert to the order of a derivative."""
    allowed = f"an integer in 0 .. {MOST_DERIVATIVES}"
    try:
        number = as_integer(value)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"{name} must be {allowed}; got {shown(value)}") from error
    if not 0 <= number <= MOST_DERIVATIVES:
        raise ValueError(f"{name} must be {allowed}; got {shown(value)}")
    return number


def not_negative(value: Any, name: str) -> float:
    """Convert to a finite number that is 0 or more."""
    return as_finite(value, name, not_negative=True)
