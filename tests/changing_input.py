"""Convolutions of arrays between inaccessible pages that another thread writes to and reshapes.

    python -m tests.changing_input SECONDS NAME...

Results are arbitrary, but calls return, access no byte beside their arrays, and later calls return what the first did.
"""

import contextlib
import json
import random
import sys
import threading
import time
import warnings
from typing import Any, Callable, NamedTuple

import numpy as np

import fastconv
from fastconv import image
from fastconv._planning.pictures import picture_plans
from tests import guard_page_fuzzer
from tests.guarded_arrays import Region


def outer(n, m):
    """A separable kernel."""
    return np.multiply.outer(np.arange(1, n + 1), np.arange(m, 0, -1))


class Case(NamedTuple):
    """A call, and the path that it must take at least once."""

    x: np.ndarray
    kernel: np.ndarray
    function: Callable[..., Any]
    engine: str
    # Beginnings of the errors that a changed kernel may raise.
    errors: tuple[str, ...] = ()


_rng = np.random.default_rng(1)


def _floats(*shape, dtype="f4"):
    return _rng.integers(-4, 5, shape).astype(dtype)


def _pixels(*shape, dtype="u1"):
    return _rng.integers(0, 200, shape).astype(dtype)


def _lines(**options):
    return lambda x, kernel, out: fastconv.convolve1d(x, kernel, "same", out=out, **options)


def _images(boundary="reflect", **options):
    return lambda x, kernel, out: fastconv.convolve2d(x, kernel, "same", boundary=boundary, out=out, **options)


def _volumes(method="direct", **options):
    return lambda x, kernel, out: fastconv.convolve(x, kernel, "same", method=method, out=out, **options)


def _filtered(**options):
    return lambda x, kernel, out: image.filter(x, kernel, out=out, **options)


def _premultiplied(x, kernel, out):
    x, kernel = x.view(), np.abs(kernel)
    if x.shape != out.shape or kernel.ndim != 2:
        raise ValueError("x must have the shape of out, and kernel be 2-D")
    request = picture_plans.Request(x.dtype, x.shape, x.dtype, "same", (0, 1), "reflect", 0, 64.0, 0.0, True, True)
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        taps = kernel.astype(np.float64)
    picture_plans.find(request, taps)(x, out, 2)


_NOT_SEPARABLE = ("kernel must be an outer product",)
_NOT_FINITE = ("kernel must be finite", "scale and offset must leave")
CASES = {
    "direct": Case(_floats(300, 200), _floats(5, 4), _images("zero", method="direct"), "direct"),
    "direct, strided": Case(_floats(200, 90)[::-1, ::3], _floats(3, 3), _images(method="direct"), "direct"),
    "direct, one row": Case(_floats(40_000), _floats(31), _lines(method="direct"), "direct, one row"),
    "direct, complex": Case(
        _floats(100, 80, dtype="c8"), _floats(3, 5, dtype="c8"), _images("zero", method="direct"),
        "direct, complex kernel",
    ),
    "integers": Case(_pixels(150, 100, dtype="i8"), outer(9, 8), _images(method="auto"), "separable"),
    "separable": Case(
        _floats(300, 200), outer(9, 7).astype("f4"), _images(method="separable"), "separable", _NOT_SEPARABLE
    ),
    "separable or not": Case(_floats(300, 200), outer(9, 7).astype("f4"), _images("zero"), "separable"),
    "zeros around": Case(
        _floats(150, 150), np.pad(_floats(9, 9), 4), _images("wrap"), "trimmed"
    ),
    "zeros around the input": Case(
        np.pad(_floats(60, 70), 45), _floats(9, 9), _images("zero", method="direct"), "trim_input"
    ),
    "zeros around a large input": Case(np.pad(_floats(2_000), 4_000), _floats(900), _lines(), "trim_input"),
    "zeros around an input and an outer product": Case(
        np.pad(_floats(60, 70), 45), outer(9, 8).astype("f4"), _images("wrap"), "trim_input"
    ),
    "fft": Case(_floats(200, 150), _floats(21, 19), _images("zero", method="fft"), "fft, both"),
    "fft, a long line": Case(_floats(20_000), _floats(2_000), _lines(method="fft"), "fft, four-step"),
    "fft, not kept": Case(_floats(150, 160), _floats(140, 150, dtype="f8"), _images("zero"), "fft, both"),
    "planes": Case(_floats(9, 40, 70), _floats(3, 4, 5), _volumes(boundary="nearest"), "planes"),
    "planes, apart": Case(_floats(200, 170), _floats(3, 5), _volumes(boundary="fill", dilation=(3, 2)), "planes"),
    "volumes by transforms": Case(_floats(20, 30, 40), _floats(5, 6, 7), _volumes(method="fft"), "fft, a volume"),
    "planes, a kernel for each line": Case(_floats(70, 200), _floats(70, 9), _volumes(axes=(1,)), "planes"),
    "numpy": Case(_floats(60, 50), _floats(3, 3), _images("zero"), "numpy"),
    "pictures": Case(_pixels(200, 150, 3), outer(7, 9).astype("f4") / 300, _filtered(), "pixels", _NOT_FINITE),
    "pictures, scaled": Case(_pixels(200, 150), _floats(3, 3), _filtered(scale=3.0, offset=9), "direct", _NOT_FINITE),
    "premultiplied": Case(
        _pixels(90, 70, 4) | 1, outer(3, 4).astype("f4"), _premultiplied, "premultiplied", _NOT_FINITE
    ),
}  # fmt: skip


_SMALL = 1000


# Beginnings of the errors that a changed shape may raise.
_RESHAPED = (
    "kernel must be",
    "kernel must have one dimension",
    "image must",
    "x must",
    "x and kernel must",
    "out must",
    "axes must",
    "scale and offset",
)


class Scribbler(threading.Thread):
    """A thread that writes random bytes, non-finite numbers, zeros and the original content into arrays.

    It also sets other shapes and strides.
    """

    def __init__(self, arrays, chance):
        super().__init__()
        self._arrays, self._chance = arrays, chance
        self._before = [array.copy() for array in arrays]
        self._over = threading.Event()
        self.strokes = 0
        self.error: BaseException | None = None

    def run(self):
        try:
            while not self._over.is_set():
                for array, before in zip(self._arrays, self._before):
                    self._scribble(array, before)
                    if self._chance.random() < 0.03:
                        self._reshape(array)
                    if array.size < _SMALL and self._chance.random() < 0.5:
                        array[...] = before  # half of the time the kernel is valid
                    self.strokes += 1
        except BaseException as error:
            self.error = error

    def _scribble(self, array, before):
        chance = self._chance
        where = tuple(slice(chance.randrange(extent), None, chance.choice((1, 2, 5))) for extent in array.shape)
        if chance.random() < 0.5:
            where = tuple(chance.randrange(extent) for extent in array.shape)
        what = chance.randrange(5)
        if what == 0:
            array[...] = before
        elif what == 1:
            array[where] = 0
        elif what == 2:
            size = max(1, np.size(array[where]))
            bytes_ = np.frombuffer(chance.randbytes(size * array.itemsize), array.dtype)
            array[where] = bytes_.reshape(np.shape(array[where]))
        elif array.dtype.kind in "fc":
            array[where] = chance.choice((np.nan, np.inf, -np.inf, 1e30, 1e-40, 0.0))
        else:
            array[where] = chance.choice((0, 1, np.iinfo(array.dtype).max, np.iinfo(array.dtype).min))

    def _reshape(self, array):
        """Set another shape or other strides, and restore them."""
        shape, strides = array.shape, array.strides
        with contextlib.suppress(AttributeError, ValueError):  # impossible without a copy, or beyond the memory
            if self._chance.random() < 0.5:
                array.shape = self._chance.choice(((array.size,), (1, *shape), shape[::-1]))
            else:
                array.strides = tuple(0 for _ in strides)
            if self._chance.random() < 0.2:
                time.sleep(0)  # another thread may have the GIL
        array.shape = shape
        array.strides = strides

    def stop(self):
        self._over.set()
        self.join()
        for array, before in zip(self._arrays, self._before):
            array[...] = before
        if self.error is not None:
            raise self.error


def run(name, seconds):
    """Call for `seconds`; return the numbers of calls, of errors, and of writes."""
    case, chance = CASES[name], random.Random(name)
    regions = [Region(4 << 20) for _ in range(3)]
    dtype = np.dtype("u1") if case.x.dtype == np.uint8 else np.result_type(case.x, case.kernel)  # pixels stay pixels
    x, _ = regions[0].filled(case.x, case.x.strides)
    kernel, _ = regions[1].filled(case.kernel, upper=False)
    expect = np.empty(x.shape, dtype)
    case.function(x, kernel, expect)
    assert np.isfinite(expect).all()
    guard_page_fuzzer.taken.clear()
    scribbler = Scribbler([x, kernel], chance)
    calls = refused = 0
    until = time.monotonic() + seconds
    scribbler.start()
    try:
        while time.monotonic() < until or case.engine not in guard_page_fuzzer.taken:
            assert time.monotonic() < until + 60, f"in a minute {case.engine} was not reached"
            out = regions[2].empty(expect.shape, dtype, upper=calls % 2 == 0)
            try:
                case.function(x, kernel, out)
            except ValueError as error:
                if not str(error).startswith(case.errors + _RESHAPED):
                    raise
                refused += 1
            calls += 1
            assert regions[2].untouched(out), "bytes beside the output were written"
    finally:
        scribbler.stop()
    assert scribbler.strokes > calls / 4
    for _ in range(2):
        out = regions[2].empty(x.shape, dtype)
        case.function(x, kernel, out)
        assert np.array_equal(out, expect), "concurrent writes affected a later call"
    return {"calls": calls, "refused": refused, "strokes": scribbler.strokes}


def main():
    seconds, names = float(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Setting the (shape|strides)", DeprecationWarning)
    sys.setswitchinterval(1e-5)
    with guard_page_fuzzer.guarded():
        for name in names:
            print(name, flush=True)
            with guard_page_fuzzer.forced_paths((32, 64), "jobs", eager=True):
                print(json.dumps(run(name, seconds)), flush=True)


if __name__ == "__main__":
    main()
