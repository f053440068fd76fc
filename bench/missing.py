"""Missing data: pictures with NaNs against Astropy, and against the same pictures without.

    python -m bench.missing [--threads N] [--brief]

All sides take turns (`alternation`), allocate their results, and are compared before anything is timed: `convolve2d`
with ``nan="ignore"``, `convolve` and `convolve_fft` of Astropy, and `convolve2d` of the picture with other numbers in
place of its NaNs, which computes less. Astropy computes in float64. Times are medians.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any, Callable, NamedTuple

import numpy as np

import fastconv
from bench.alternation import QUICK, THOROUGH, Budget, alternate
from bench.data import SEED
from bench.rivals import threads
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


def prepare(case: Hole, workers: int) -> dict[str, Callable[[], Any]]:
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


def check(sides: dict[str, Callable[[], Any]]) -> None:
    """Raise an AssertionError if the results of pictures with NaNs differ by more than rounding."""
    ours = sides[OURS]()
    for name, side in sides.items():
        if name != ALONE:
            error = np.abs(np.asarray(side()) - ours).max() / np.abs(ours).max()
            assert error < 1e-5, f"{name} differs by {error:.1e} of the largest"


def table(cases: list[Hole], workers: int, budget: Budget) -> str:
    """Measure cases; return a table in Markdown: milliseconds, and how many times as long the others take."""
    lines: list[str] = []
    for case in cases:
        sides = prepare(case, workers)
        check(sides)
        samples, _ = alternate(sides, {}, budget)
        medians = {name: statistics.median(samples[name]) for name in sides}
        ours = medians.pop(OURS)
        if not lines:
            lines = [f"| picture | {OURS} | {' | '.join(medians)} |", "| --- |" + " ---: |" * (1 + len(medians))]
        ratios = [f"{theirs / ours:.2f} x" for theirs in medians.values()]
        lines.append(f"| {case.name} | {1e3 * ours:.3g} ms | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--threads", type=int, default=threads(), help="of fastconv; by default all that there are")
    parser.add_argument("--brief", action="store_true", help="little time for each case: rough figures")
    options = parser.parse_args()
    print(table(CASES, options.threads, QUICK if options.brief else THOROUGH))


if __name__ == "__main__":
    main()
