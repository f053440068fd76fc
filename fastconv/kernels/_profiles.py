"""One-dimensional Gaussian profiles, the factors of Gaussians of any number of axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.kernels._checks import check_size, each, positive


def gaussian_profile(sigma: float, radius: int) -> NDArray[np.float64]:
    """Return samples of a Gaussian at -radius .. radius, normalised to the sum 1."""
    with np.errstate(all="ignore"):
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        return line / math.fsum(line)


def gaussian_profiles(sigma: Any, truncate: float, count: int = 2) -> tuple[NDArray[np.float64], ...]:
    """Return the factors of a Gaussian of `count` axes: of two, the column and the row."""
    sigmas = each(sigma, "sigma", positive, count)
    cut = positive(truncate, "truncate")
    reaches = [cut * one for one in sigmas]
    for part in [reaches] if count == 2 else ([reach] for reach in reaches):  # the product of more is never made
        check_size("sigma and truncate", *part)
    return tuple(gaussian_profile(one, int(reach + 0.5)) for one, reach in zip(sigmas, reaches))
