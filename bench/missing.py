"""Missing data: pictures with NaNs against Astropy, and against the same pictures without.

    python -m bench.missing [--threads N] [--brief]

All sides take turns (`alternation`), allocate their results, and are compared before anything is timed: `convolve2d`
with ``nan="ignore"``, `convolve` and `convolve_fft` of Astropy, and `convolve2d` of the picture with other numbers in
place of its NaNs, which computes less. Astropy computes in float64. Times are medians.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import fastconv
from bench.comparisons import Comparison, Sides
from bench.data import SEED
from fastconv import kernels


class Hole(NamedTuple):
    """A square picture of which a share is NaN, and a square kernel, of random taps or a Gaussian."""

    size: int
    kernel: int
    dtype: str
    sigma: float = 0.0
    share: float = 0.05

    @property
    def name(self) -> str:
        what = f", Gaussian of sigma {self.sigma:g}" if self.sigma else ""
        return f"{self.dtype} {self.size}x{self.size} by {self.kernel}x{self.kernel}{what}, {self.share:.0%} NaN"


CASES = [
    Hole(2048, extent, dtype, sigma)
    for dtype in ("float32", "float64")
    for extent, sigma in ((5, 0.0), (15, 0.0), (31, 0.0), (25, 3.0))
]

OURS, ALONE = "nan='ignore'", "without NaN"


def prepare(case: Hole, workers: int) -> Sides:
    """Return the call of each side."""
    from astropy.convolution import convolve, convolve_fft

    random = np.random.default_rng(SEED)
    whole = random.uniform(-1, 1, (case.size, case.size)).astype(case.dtype)
    picture = whole.copy()
    picture[random.random(picture.shape) < case.share] = np.nan
    if case.sigma:
        kernel = kernels.gaussian(sigma=case.sigma, dtype=case.dtype)
    else:
        kernel = random.uniform(0.1, 1, (case.kernel, case.kernel)).astype(case.dtype)
    kernel /= kernel.sum()
    options: dict[str, Any] = {"mode": "same", "boundary": "fill", "workers": workers}
    return {
        OURS: lambda: fastconv.convolve2d(picture, kernel, nan="ignore", **options),
        ALONE: lambda: fastconv.convolve2d(whole, kernel, **options),
        "astropy convolve": lambda: convolve(picture, kernel, boundary="fill"),
        "astropy convolve_fft": lambda: convolve_fft(picture, kernel, boundary="fill", allow_huge=True),
    }


COMPARISON = Comparison("picture", CASES, prepare, unlike={ALONE})

if __name__ == "__main__":
    COMPARISON.command(__doc__ or "")
