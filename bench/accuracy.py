"""Tables of errors against exact results, for each method of fastconv and for other libraries.

    python -m bench.accuracy

Exact results are sums of fractions, at some hundreds of outputs. Each column says the unit of its errors:

- products: ``eps * sum |kernel| |x|`` over the taps of the output, the usual unit for sums of products in any order;
- footprint: ``eps * norm(kernel) * norm(x)``, in 2-norms, `x` being the samples under the kernel. The error of a plain
  transform depends on the whole input instead: samples that are quiet beside loud ones lose digits by it;
- result: the result itself. Only operands of one sign allow it, since nothing cancels.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any, Callable, Iterator, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv
from tests.oracle import exact_at

SEED = 20_251_121
_POINTS = 200
_FUZZ_CASES = 40


class Data(NamedTuple):
    """Operands of a convolution in mode 'same', with zeros outside."""

    name: str
    x: NDArray
    kernel: NDArray
    row: NDArray | None = None  # the factor of the kernel, for rows and columns
    unit: str = "products"
    quiet: float = 1.0  # the share of outputs, those with the quietest footprints, that errors are taken from


def data(dtype: type) -> list[Data]:
    """Return signals and images of one dtype, whose samples are about equally loud."""
    random = np.random.default_rng(SEED)

    def noise(*shape: int) -> NDArray:
        return random.uniform(-1, 1, shape).astype(dtype)

    line = _gaussian(31, 3.75).astype(dtype)
    return [
        Data("100,000 by 1001", noise(100_000), noise(1001)),
        Data("256x256 by 5x5", noise(256, 256), noise(5, 5)),
        Data("256x256 by 31x31", noise(256, 256), noise(31, 31)),
        Data("256x256 by 31x31, a Gaussian", noise(256, 256), np.outer(line, line), line),
    ]


def uneven(dtype: type) -> list[Data]:
    """Return signals and images of one dtype with quiet samples beside loud ones."""
    random = np.random.default_rng(SEED)
    spike = random.uniform(-1, 1, (256, 256))
    spike[100, 100] = 1e12
    line = _gaussian(31, 3.75)
    decay = np.exp(-np.arange(50_000) / 1500) * np.sin(np.arange(50_000))
    tosses = 60 if dtype is np.float32 else 480  # the least probabilities are as small as the type can hold
    pmf = np.array([float(Fraction(math.comb(tosses, k), 2**tosses)) for k in range(tosses + 1)])
    cases = [
        Data("1e12 in noise, 41x41", spike, random.uniform(-1, 1, (41, 41)), None, "footprint"),
        Data("stars on black, Gaussian 31x31", stars(random), np.outer(line, line), line, "footprint", 0.5),
        Data("decaying tone, 1001 taps", decay, random.uniform(-1, 1, 1001), None, "footprint", 0.5),
        Data("binomial distribution twice", np.pad(pmf, tosses // 2), pmf, None, "result"),
    ]
    return [what._replace(x=what.x.astype(dtype), kernel=what.kernel.astype(dtype)) for what in cases]


def fuzz(dtype: type) -> Iterator[Data]:
    """Yield signals and images with spikes, islands, steps and tails over many decades, and kernels of all kinds."""
    random = np.random.default_rng(SEED)
    decades = 30 if dtype is np.float32 else 200
    for case in range(_FUZZ_CASES):
        shape, taps = ((3000,), (151,)) if case % 2 else ((150, 170), (17, 19))
        x = random.standard_normal(shape)
        kind = case // 2 % 4
        if kind == 0:  # spikes
            x[tuple(random.integers(n, size=5) for n in shape)] *= 10.0 ** random.uniform(4, decades / 2)
        elif kind == 1:  # islands among zeros
            x[random.random(shape) < 0.995] = 0
        elif kind == 2:  # a step
            x[shape[0] // 2 :] *= 10.0 ** -random.uniform(2, decades / 2)
        else:  # a tail
            x *= np.exp(-np.linspace(0, random.uniform(5, decades / 2), shape[0])).reshape(-1, *(1,) * (x.ndim - 1))
        kernel = random.standard_normal(taps)
        if case // 8 % 2:  # of one sign, with a tail
            kernel = np.abs(kernel) * np.exp(-np.linspace(0, 5, taps[0])).reshape(-1, *(1,) * (x.ndim - 1))
        yield Data("worst of fuzz", x.astype(dtype), kernel.astype(dtype), None, "footprint", 0.5)


def stars(random: np.random.Generator) -> NDArray:
    """Draw stars over six decades of brightness on a black sky."""
    sky = np.zeros((256, 256))
    blur = np.outer(_gaussian(9, 1.2), _gaussian(9, 1.2))
    for row, column, decade in zip(random.integers(0, 247, 60), random.integers(0, 247, 60), random.uniform(0, 6, 60)):
        sky[row : row + 9, column : column + 9] += 10**decade * blur
    return sky


def _gaussian(taps: int, sigma: float) -> NDArray:
    line = np.exp(-0.5 * ((np.arange(taps) - taps // 2) / sigma) ** 2)
    return line / line.sum()


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
    "fastconv, fft, unchecked": lambda x, kernel, row: fastconv.convolve(x, kernel, "same", method="fft", check=False),
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
    """Sum fractions at indices drawn with a fixed seed, among the quietest if the data ask for that."""
    random = np.random.default_rng(SEED)
    count = min(max(20, _POINTS * 25 // what.kernel.size), _POINTS)
    found = Exact([], [], [])
    drawn = [tuple(int(random.integers(n)) for n in what.x.shape) for _ in range(math.ceil(4 * count / what.quiet))]
    loudness = {place: np.abs(what.x[_footprint(what, place)]).sum() for place in drawn}
    quietest = sorted((place for place in loudness if loudness[place] > 0), key=loudness.__getitem__)
    eps, norm = float(np.finfo(what.x.dtype).eps), np.linalg.norm(what.kernel.astype(float))
    for place in quietest[: math.ceil(what.quiet * len(quietest))][:count]:
        value, size = exact_at(place, what.x, what.kernel)
        unit = Fraction(eps) * size
        if what.unit == "footprint":
            unit = Fraction(eps * norm * math.hypot(*map(float, what.x[_footprint(what, place)].flat)))
        elif what.unit == "result":
            unit = abs(value)
        found.places.append(place)
        found.values.append(value)
        found.units.append(unit)
    return found


def _footprint(what: Data, place: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the place of the samples under the kernel at an output."""
    lasts = (at + (taps - 1) // 2 for at, taps in zip(place, what.kernel.shape))  # the sample under tap 0
    return tuple(slice(max(0, last - taps + 1), last + 1) for last, taps in zip(lasts, what.kernel.shape))


def error(result: NDArray, wanted: Exact) -> float:
    """Return the largest error, in the units of `wanted`."""
    return max(
        float(abs(Fraction(float(result[place])) - value) / unit)
        for place, value, unit in zip(wanted.places, wanted.values, wanted.units)
    )


def table() -> str:
    """Return the tables of both dtypes in Markdown."""
    tables = []
    for dtype in (np.float32, np.float64):
        tables.append(_markdown(np.dtype(dtype).name, data(dtype)))
        tables.append(_markdown(f"{np.dtype(dtype).name}, quiet beside loud", uneven(dtype), [*fuzz(dtype)]))
    return "\n\n".join(tables)


def _markdown(title: str, cases: list[Data], fuzzed: list[Data] | None = None) -> str:
    names = [f"{what.name} [{what.unit}]" for what in cases]
    rows = {side: [side] for side in SIDES}
    for what in cases:
        wanted = exact(what)
        for side, convolve in SIDES.items():
            rows[side].append(f"{error(convolve(*what[1:4]), wanted):.2g}" if can(side, what) else "\N{EN DASH}")
    if fuzzed:
        names.append(f"worst of {len(fuzzed)} fuzzed inputs [footprint]")
        expected = [exact(what) for what in fuzzed]
        for side, convolve in SIDES.items():
            errors = [error(convolve(*what[1:4]), wanted) for what, wanted in zip(fuzzed, expected) if can(side, what)]
            rows[side].append(f"{max(errors):.2g}" if errors else "\N{EN DASH}")
    lines = [f"| {' | '.join([title, *names])} |", f"|---|{'---:|' * len(names)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows.values())])


if __name__ == "__main__":
    print(table())
