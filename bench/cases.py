"""What is measured: the table of cases, their data, and how each library is called.

`test_direct.py` and `compare.py` both read `CASES`. A case is one convolution of one shape and type, in mode `same`
with zeros outside; it names the rivals that compute it too, and how many times their speed is aimed at.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from typing import Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv

Run = Callable[[], NDArray]

SEED = 20_251_121


class Rival(NamedTuple):
    """Another way to the same result.

    `prepare` imports the library and returns the call to be timed; whatever a user would do once and not at each
    call, such as flipping the kernel, it does beforehand.
    """

    name: str
    module: str
    prepare: Callable[[Case], Run]
    exact: bool = False  # the result must be ours to the last bit

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None


class Versus(NamedTuple):
    """A rival, and the ratio of its time to ours that is aimed at; None where there is only a comparison."""

    rival: Rival
    target: float | None = None


class Case(NamedTuple):
    """One convolution.

    With three dimensions in `shape` it is a picture with channels last, convolved along the first two axes.
    """

    group: str
    dtype: type
    shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    versus: tuple[Versus, ...]
    layout: str = "contiguous"
    peak_target: float | None = None  # share of the machine's FMA peak that is aimed at
    compare_peak: bool = False  # whether that share says anything: much arithmetic, in floats
    limit: float | None = None  # seconds that a call may take, whatever the rivals need

    @property
    def name(self) -> str:
        layout = "" if self.layout == "contiguous" else f", {self.layout}"
        return f"{np.dtype(self.dtype)} {_times(self.shape)} by {_times(self.kernel_shape)}{layout}"

    @property
    def operations(self) -> int:
        """Multiplications and additions, the taps that fall outside included."""
        return 2 * math.prod(self.shape) * math.prod(self.kernel_shape)


class Inputs(NamedTuple):
    image: NDArray  # or signal
    kernel: NDArray


class ResultsDiffer(AssertionError):
    """Two libraries did not compute the same, and comparing their speed would say nothing."""


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


# -------------------------------------------------------------------------------------------------------- data


@functools.lru_cache(maxsize=1)  # all sides of a case get the same arrays; the next case's take their place
def inputs(case: Case) -> Inputs:
    """The arrays of a case: uniform in -1 .. 1, or over all values of an integer type, the same in every run."""
    random = np.random.default_rng(SEED)
    image, kernel = (_random(random, case.dtype, shape) for shape in (case.shape, case.kernel_shape))
    return Inputs(_LAYOUTS[case.layout](image), kernel)


def _random(random: np.random.Generator, dtype: type, shape: tuple[int, ...]) -> NDArray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    # Not random(dtype=float32), whose stream is another one: both types get the same numbers.
    return random.uniform(-1, 1, shape).astype(dtype)


def _crop(image: NDArray) -> NDArray:
    """The same values within a larger array, whose rows then start at no multiple of a vector."""
    top, left = 5, 7
    whole = np.zeros((image.shape[0] + 2 * top, image.shape[1] + 2 * left), image.dtype)
    crop = whole[top:-top, left:-left]
    crop[...] = image
    return crop


def _reversed(image: NDArray) -> NDArray:
    """The same values, stored back to front: both strides are negative."""
    return np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]


_LAYOUTS: dict[str, Callable[[NDArray], NDArray]] = {
    "contiguous": np.ascontiguousarray,
    "crop": _crop,
    "Fortran": np.asfortranarray,
    "negative strides": _reversed,
}


# ------------------------------------------------------------------------------------------------------- sides


def ours(case: Case) -> Run:
    """The call of fastconv that a case is about. It flips the kernel and allocates the result at each call."""
    image, kernel = inputs(case)
    return _convolve(image, kernel)


def _convolve(image: NDArray, kernel: NDArray) -> Run:
    if kernel.ndim == 1:
        return functools.partial(fastconv.convolve1d, image, kernel, "same")
    if image.ndim == 3:
        return functools.partial(fastconv.convolve2d, image, kernel, "same", axes=(0, 1))
    return functools.partial(fastconv.convolve2d, image, kernel, "same")


def _prepare_filter2d(case: Case) -> Run:
    import cv2

    image, kernel = inputs(case)
    flipped = np.flip(kernel).copy()  # filter2D correlates
    if kernel.ndim == 1:
        image, flipped = image[np.newaxis], flipped[np.newaxis]
    return functools.partial(cv2.filter2D, image, -1, flipped, borderType=cv2.BORDER_CONSTANT)


def _prepare_fft(case: Case) -> Run:
    import scipy.signal

    return functools.partial(scipy.signal.convolve, *inputs(case), mode="same", method="fft")


def _prepare_convolve2d(case: Case) -> Run:
    import scipy.signal

    return functools.partial(scipy.signal.convolve2d, *inputs(case), mode="same")


def _prepare_numpy(case: Case) -> Run:
    return functools.partial(np.convolve, *inputs(case), mode="same")


def _prepare_contiguous(case: Case) -> Run:
    image, kernel = inputs(case)
    return _convolve(np.ascontiguousarray(image), kernel)


FILTER2D = Rival("cv2.filter2D", "cv2", _prepare_filter2d)
FFT = Rival("scipy.signal.convolve, FFT", "scipy.signal", _prepare_fft)
CONVOLVE2D = Rival("scipy.signal.convolve2d", "scipy.signal", _prepare_convolve2d)
NUMPY = Rival("numpy.convolve", "numpy", _prepare_numpy)
CONTIGUOUS = Rival("fastconv, contiguous", "fastconv", _prepare_contiguous, exact=True)


def check_same(case: Case, rival: Rival, result: NDArray, expected: NDArray) -> None:
    """Raise `ResultsDiffer` unless `result`, the rival's, is `expected`, ours, within what rounding explains.

    A sum of n products is off by at most ``n * eps * sum |kernel| |image|`` [1]_, ours as theirs, so the two are
    apart by at most twice that. Of a transform the error is ``c * log2(size) * eps`` times a norm of the data [2]_;
    in data that is as large everywhere as here, the sum above stands for that norm. Integers must be equal.

    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1.
    .. [2] The same, section 24.1.
    """
    image, kernel = inputs(case)
    result = result.reshape(expected.shape) if result.size == expected.size else result
    if result.shape != expected.shape or result.dtype != expected.dtype:
        raise ResultsDiffer(
            f"{case.name}: {rival.name} returned {result.dtype} of shape {result.shape}, "
            f"fastconv {expected.dtype} of shape {expected.shape}"
        )
    tolerance = 0.0
    if not rival.exact and expected.dtype.kind == "f":
        eps = float(np.finfo(expected.dtype).eps)
        steps = kernel.size + math.log2(image.size)
        tolerance = 2 * steps * eps * float(np.abs(image).max()) * float(np.abs(kernel).sum())
        worst = float(np.abs(result - expected).max())
    else:
        worst = float(np.count_nonzero(result != expected))
    if not worst <= tolerance:  # also if it is not a number
        measure = "their largest difference" if tolerance else "the number of elements that differ"
        raise ResultsDiffer(
            f"{case.name}: {rival.name} and fastconv do not agree; {measure} is {worst:g}, and may be {tolerance:g}"
        )


# ------------------------------------------------------------------------------------------------------- table


def _floats_2d() -> list[Case]:
    ratios: dict[type, dict[int, float]] = {
        np.float32: {3: 1.1, 5: 2, 7: 2, 11: 2, 15: 4},
        np.float64: {3: 2, 5: 2, 7: 2, 11: 2, 15: 2},
    }
    cases = []
    for dtype, ratio in ratios.items():
        for side in (2048, 512):
            for taps in (3, 5, 7, 11, 15, 31):
                versus = [Versus(FILTER2D, ratio.get(taps))]
                if taps == 31 or (side == 2048 and taps == 11):
                    versus.append(Versus(FFT))
                case = Case(
                    group="images",
                    dtype=dtype,
                    shape=(side, side),
                    kernel_shape=(taps, taps),
                    versus=tuple(versus),
                    peak_target=0.65 if dtype is np.float32 and taps >= 11 else None,
                    compare_peak=True,
                )
                cases.append(case)
    return cases


def _signals() -> list[Case]:
    versus = Versus(NUMPY, 5), Versus(FILTER2D, 1)  # "ahead of OpenCV" is a ratio of 1
    types = np.float32, np.float64
    return [Case("signals", dtype, (1_000_000,), (taps,), versus) for dtype in types for taps in (31, 101)]


def _integers() -> list[Case]:
    versus = (Versus(CONVOLVE2D, 10),)
    return [
        Case("integers", dtype, (2048, 2048), (taps, taps), versus)
        for dtype in (np.int32, np.uint8)
        for taps in (5, 7, 11)
    ]


def _layouts() -> list[Case]:
    versus = (Versus(CONTIGUOUS, 0.8),)
    return [
        Case("layouts", np.float32, (2048, 2048), (taps, taps), versus, layout)
        for taps in (5, 11)
        for layout in ("crop", "Fortran", "negative strides")
    ]


def _channels() -> list[Case]:
    versus = (Versus(FILTER2D),)
    return [
        Case("channels last", np.float32, (1080, 1920, 3), (taps, taps), versus, compare_peak=True)
        for taps in (3, 5, 11)
    ]


def _small() -> list[Case]:
    types = np.float32, np.float64
    signals = [Case("small", dtype, (100,), (5,), (Versus(NUMPY),), limit=3e-6) for dtype in types]
    images = [Case("small", dtype, (64, 64), (3, 3), (Versus(FILTER2D, 1),)) for dtype in types]
    return signals + images


CASES = _floats_2d() + _signals() + _integers() + _layouts() + _channels() + _small()
