"""One-dimensional Gaussian profiles, the factors of 2-D Gaussians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.kernels._checks import check_size, pair, positive


def gaussian_profile(sigma: float, radius: int) -> NDArray[np.float64]:
    """Return samples of a Gaussian at -radius .. radius, normalised to the sum 1."""
    with np.errstate(all="ignore"):
        line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        return line / math.fsum(line)


def gaussian_profiles(sigma: Any, truncate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the factors of a 2-D Gaussian: the column and the row."""
    sigmas = pair(sigma, "sigma", positive)
    cut = positive(truncate, "truncate")
    reaches = [cut * one for one in sigmas]
    check_size("sigma and truncate", *reaches)
    down, right = (gaussian_profile(one, int(reach + 0.5)) for one, reach in zip(sigmas, reaches))
    return down, right
