"""Table of errors against exact results, for each method of fastconv and for other libraries.

    python -m bench.accuracy

Errors are in units of ``eps * sum |kernel| |x|`` over the taps of the output concerned, the usual unit for sums of
products in any order. Exact results are sums of fractions, at some hundreds of outputs. The error of a transform
depends on its whole input: if one half of the data is 10,000 times as large as the other, the outputs of the smaller
half show the effect of large values on small ones.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any, Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv
from tests.oracle import exact_at

SEED = 20_251_121
_POINTS = 200


class Data(NamedTuple):
    """Operands of a convolution in mode 'same', with zeros outside."""

    name: str
    x: NDArray
    kernel: NDArray
    row: NDArray | None = None  # the factor of the kernel, for rows and columns


def data(dtype: type) -> list[Data]:
    """Return the signals and images of one dtype."""
    random = np.random.default_rng(SEED)

    def noise(*shape: int) -> NDArray:
        return random.uniform(-1, 1, shape).astype(dtype)

    steep = noise(256, 256)
    steep[:, 128:] *= 10_000
    line = np.exp(-0.5 * (np.arange(-15, 16) / 3.75) ** 2)
    line = (line / line.sum()).astype(dtype)
    return [
        Data("100,000 by 1001", noise(100_000), noise(1001)),
        Data("256x256 by 5x5", noise(256, 256), noise(5, 5)),
        Data("256x256 by 31x31", noise(256, 256), noise(31, 31)),
        Data("256x256 by 31x31, a Gaussian", noise(256, 256), np.outer(line, line), line),
        Data("256x256 by 31x31, small beside large", steep, noise(31, 31)),
    ]


def _cv2(name: str, x: NDArray, kernel: NDArray, row: NDArray | None) -> NDArray:
    import cv2

    if name == "sepFilter2D":
        return cv2.sepFilter2D(x, -1, row, row, borderType=cv2.BORDER_CONSTANT)
    lines = (x[np.newaxis], kernel[np.newaxis]) if x.ndim == 1 else (x, kernel)
    flipped = np.flip(lines[1]).copy()
    return cv2.filter2D(lines[0], -1, flipped, borderType=cv2.BORDER_CONSTANT).reshape(x.shape)


def _scipy(name: str, x: NDArray, kernel: NDArray, row: NDArray | None) -> NDArray:
    import scipy.signal

    return getattr(scipy.signal, name)(x, kernel, mode="same")


def _ours(method: Any, x: NDArray, kernel: NDArray, row: NDArray | None) -> NDArray:
    return fastconv.convolve(x, kernel, "same", method=method)


Side = Callable[[NDArray, NDArray, NDArray | None], NDArray]

SIDES: dict[str, Side] = {
    "fastconv, direct": functools.partial(_ours, "direct"),
    "fastconv, separable": functools.partial(_ours, "separable"),
    "fastconv, fft": functools.partial(_ours, "fft"),
    "numpy.convolve": lambda x, kernel, row: np.convolve(x, kernel, "same"),
    "scipy.signal.convolve2d": functools.partial(_scipy, "convolve2d"),
    "scipy.signal.fftconvolve": functools.partial(_scipy, "fftconvolve"),
    "scipy.signal.oaconvolve": functools.partial(_scipy, "oaconvolve"),
    "cv2.filter2D": functools.partial(_cv2, "filter2D"),
    "cv2.sepFilter2D": functools.partial(_cv2, "sepFilter2D"),
}


def can(side: str, what: Data) -> bool:
    if side in ("fastconv, separable", "cv2.sepFilter2D"):
        return what.row is not None
    if side == "numpy.convolve":
        return what.x.ndim == 1
    return side != "scipy.signal.convolve2d" or what.x.ndim == 2


class Exact(NamedTuple):
    """Exact results at some indices, and the units of their errors."""

    places: list[tuple[int, ...]]
    values: list[Fraction]
    units: list[Fraction]


def exact(what: Data) -> Exact:
    """Sum fractions at random indices with a fixed seed; in data with a large half, only in the other half."""
    random = np.random.default_rng(SEED)
    x, kernel = what.x, what.kernel
    extents = (x.shape[0], 128 - kernel.shape[1]) if "small" in what.name else x.shape
    eps = Fraction(float(np.finfo(x.dtype).eps))
    found = Exact([], [], [])
    count = max(20, _POINTS * 25 // kernel.size)
    while len(found.places) < min(count, _POINTS):
        place = tuple(int(random.integers(n)) for n in extents)
        value, size = exact_at(place, x, kernel)
        found.places.append(place)
        found.values.append(value)
        found.units.append(eps * size)
    return found


def error(result: NDArray, wanted: Exact) -> float:
    """Return the largest error, in units of ``eps * sum |kernel| |x|``."""
    return max(
        float(abs(Fraction(float(result[place])) - value) / unit)
        for place, value, unit in zip(wanted.places, wanted.values, wanted.units)
    )


def table() -> str:
    lines = []
    for dtype in (np.float32, np.float64):
        cases = data(dtype)
        rows = {side: [side] for side in SIDES}
        for what in cases:
            wanted = exact(what)
            for side, convolve in SIDES.items():
                rows[side].append(f"{error(convolve(*what[1:]), wanted):.2g}" if can(side, what) else "\N{EN DASH}")
        header = [np.dtype(dtype).name, *(what.name for what in cases)]
        lines += ["", f"| {' | '.join(header)} |", f"|---|{'---:|' * len(cases)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows.values()]
    return "\n".join(lines[1:])


if __name__ == "__main__":
    print(table())
