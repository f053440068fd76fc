"""Plans of convolutions whose results are pictures: the type of the sums, and their conversion to pixels.

A `Picture` depends on types, shapes, options and the kernel's taps. It is cached for successive frames.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.checks import check_method, check_result_size, check_sums
from fastconv._model.problem import Finish, Problem
from fastconv._model.separability import Separable
from fastconv._model.steps import usual_steps
from fastconv._planning import engine_loader, separable_plans
from fastconv._planning.method_choice import LARGEST_KEPT, Choice, Decision, Prepared
from fastconv._planning.sweeps import Sweep, as_sweeps, problem_of, with_extents
from fastconv._runtime.bounded_cache import kept

_DOUBLE = np.dtype(np.float64)
# Sums of 8-bit samples fit into 16 bits if the absolute taps add up to at most this: 255 * 257 is 2**16 - 1.
_MOST_NARROW = 257
# Integers up to this are exact in float32.
_EXACT_IN_SINGLE = 2.0**24
# Results of 16-bit sums: these are scaled in float32, and uint16 shares the routines of int16, where sums wrap.
_FROM_NARROW = (np.uint8, np.int16, np.float32)


class Request(NamedTuple):
    """Everything that a picture plan depends on except the kernel's taps."""

    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    dtype: np.dtype
    mode: str
    axes: tuple[int, ...]  # two, or more for a kernel given by its factors
    boundary: str
    fill_value: float
    scale: float
    offset: float
    flip: bool
    premultiplied: bool
    method: str = "auto"
    spans: tuple[tuple[int, int], ...] | None = None  # as in `Steps`; None if the mode gives them


class Decided(NamedTuple):
    """How a picture is computed, to compute parts of it in the same way."""

    narrow: bool  # with sums of 16 bits
    decision: Decision


class Picture(NamedTuple):
    """A convolution of pixels ready to run."""

    sweeps: tuple[Sweep, ...]  # where the results along each axis are in the full convolution
    problem: Problem
    prepared: Any  # a `Prepared`, or a `SeparablePlan` of three or more axes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.problem.out_shape

    @property
    def decided(self) -> Decided | None:
        """None if there is but one way."""
        if not isinstance(self.prepared, Prepared):
            return None
        return Decided(self.problem.sums.kind == "i", self.prepared.choice.decision(self.prepared))

    @property
    def nbytes(self) -> int:
        return self.prepared.nbytes

    def __call__(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x`."""
        self.prepared.run(x, out, workers)


def find(request: Request, kernel: np.ndarray | Separable, decided: Decided | None = None) -> Picture:
    """Return the `Picture` for a request and a kernel of float64, cached unless the kernel is large."""
    kernel = _as_array_if_small(kernel)
    if kernel.nbytes > LARGEST_KEPT:
        return make(request, kernel, decided)
    if isinstance(kernel, Separable):
        return _find_separable(request, tuple(line.tobytes() for line in kernel.lines), kernel.dtype, decided)
    return _find(request, kernel.shape, kernel.tobytes(), decided)


@kept
def _find(request: Request, kernel_shape: tuple[int, int], content: bytes, decided: Decided | None) -> Picture:
    return make(request, np.frombuffer(content).reshape(kernel_shape), decided)


@kept
def _find_separable(request: Request, lines: tuple[bytes, ...], dtype: np.dtype, decided: Decided | None) -> Picture:
    return make(request, Separable(tuple(map(np.frombuffer, lines)), dtype), decided)


def _as_array_if_small(kernel: np.ndarray | Separable) -> np.ndarray | Separable:
    """Return a small kernel of two axes as an array: it is factored only once, and may have 16-bit sums or a direct
    engine."""
    if not isinstance(kernel, Separable) or len(kernel.lines) > 2 or 8 * kernel.size > LARGEST_KEPT:
        return kernel
    return _small_taps(kernel.dtype, *(line.tobytes() for line in kernel.lines))


@kept
def _small_taps(dtype: np.dtype, *lines: bytes) -> np.ndarray:
    taps = Separable(tuple(map(np.frombuffer, lines)), dtype).taps(_DOUBLE)
    taps.setflags(write=False)
    return taps


def checked(request: Request, kernel: np.ndarray | Separable) -> tuple[Problem, np.ndarray | Separable]:
    """`wide`, for a method that it takes."""
    problem, taps = wide(request, kernel)
    check_method(request.method, problem.kernel_dtype, kernel.shape, problem.sums)
    return problem, taps


def make(request: Request, kernel: np.ndarray | Separable, decided: Decided | None = None) -> Picture:
    """Make a `Picture`, uncached."""
    kernel = _as_array_if_small(kernel)
    problem, taps = checked(request, kernel)
    method, sweeps = request.method, _sweeps(request, kernel.shape)
    if isinstance(taps, Separable) and len(taps.lines) > 2:
        return Picture(sweeps, problem, separable_plans.prepare(problem, taps))
    decision = None if decided is None else decided.decision
    choice = Choice(problem, method, decision)
    small = None
    if not isinstance(kernel, Separable) and (method != "fft" if decided is None else decided.narrow):
        small = narrow(request, kernel)
    if small is not None:
        prepared = Choice(small[0], method, decision).prepare(small[1])
        # Only overlap-save, for a large kernel, is cheaper than narrow sums.
        if method != "auto" or decided is not None or prepared.cost <= choice.cheapest() or _is_sparse(request, kernel):
            return Picture(sweeps, small[0], _listed(request, prepared))
    return Picture(sweeps, problem, _listed(request, choice.prepare(taps)))


def _is_sparse(request: Request, kernel: np.ndarray | Separable) -> bool:
    """Whether the taps of a kernel are listed, since most are zero."""
    able = request.method == "auto" and not isinstance(kernel, Separable) and not sys.is_finalizing()
    return able and engine_loader.load().sparse.pays(kernel)


def _listed(request: Request, prepared: Prepared) -> Prepared:
    """The same with a list of the taps that are not zero, if that pays."""
    problem, is_other = prepared.choice.problem, prepared.method == "separable" or prepared.inner is not None
    if is_other or not _is_sparse(request, prepared.taps) or not engine_loader.load().layout.supports(problem.sums):
        return prepared
    multiplies = request.premultiplied and request.x_dtype.kind == "f"  # by alpha, which may overflow
    if problem.fills and (multiplies or not np.isfinite(problem.fill_value)):  # an infinity times a zero counts
        return prepared
    engine = _sparse_engine(problem)
    return prepared._replace(method="direct", engine=engine, kernel=engine.prepare(prepared.taps))


@kept
def _sparse_engine(problem: Problem) -> Any:
    return engine_loader.load().sparse.SparseEngine(problem)


def compile_all(request: Request) -> None:
    """Compile all that pictures of these types need, for all sizes and kernels."""
    for shape in ((3, 3), (1, 3)):
        kernel = np.ones(shape)
        for problem in (wide(request, kernel), wide(request, _EXACT_IN_SINGLE * kernel), narrow(request, kernel)):
            if problem is not None:
                Choice(problem[0], "auto").compile_all()
                if min(shape) > 1 and engine_loader.load().layout.supports(problem[0].sums):
                    _sparse_engine(problem[0])


def wide(request: Request, kernel: np.ndarray | Separable) -> tuple[Problem, np.ndarray | Separable]:
    """Return the problem with sums of float32, or of a more precise type where pixels need it; and its taps."""
    with np.errstate(all="ignore"):
        total = kernel.total() if isinstance(kernel, Separable) else float(np.abs(kernel).sum())
    sums = _type_of_sums(request, total)
    check_sums(total, request.x_dtype, sums, request.scale, request.offset, request.premultiplied)
    finish, plain = None, request.scale == 1 and request.offset == 0
    if not plain or request.dtype != sums or request.premultiplied:
        # Sums that become bytes must first fit into 32 bits, which is known only for input bytes.
        fits = request.dtype != np.uint8
        fits = fits or (request.x_dtype == np.uint8 and 256 * total < 2**31)
        finish = Finish(0.0, 1.0, request.scale, request.offset, plain and fits, request.premultiplied)
    with np.errstate(all="ignore"):
        taps = kernel if isinstance(kernel, Separable) else kernel.astype(sums)
    return _problem(request, kernel.shape, sums, finish), taps


def _type_of_sums(request: Request, total: float) -> np.dtype:
    """The type of sums for taps whose sizes add up to `total`.

    Integers that float32 holds need float64 where sums of more than 24 bits become integers of the same size: Sobel's
    kernel of 7x7 multiplies uint16 by up to 1280, and roundings of its smoothed rows by up to 5.
    """
    sums = np.result_type(request.x_dtype, request.dtype, np.float32)
    if request.x_dtype.kind not in "iu" or request.dtype.kind not in "iu" or request.premultiplied:
        return sums
    with np.errstate(all="ignore"):
        largest = np.float64(total) * 2.0 ** (8 * request.x_dtype.itemsize)
        fits = largest < np.finfo(np.float32).max
        needed = largest > _EXACT_IN_SINGLE and largest > _EXACT_IN_SINGLE / 4 * np.float64(abs(request.scale))
    return np.result_type(sums, np.float64) if needed and fits else sums


def narrow(request: Request, kernel: np.ndarray) -> tuple[Problem, np.ndarray] | None:
    """Return the problem with 16-bit sums, and its integer taps; None if the sums might not fit."""
    able = request.x_dtype == np.uint8 and request.dtype in _FROM_NARROW and not request.premultiplied
    found = integer_taps(kernel) if able else None
    if found is None:
        return None
    taps, unit = found
    bias = 255.0 * -int(taps[taps < 0].sum(dtype=np.int64))
    offset = request.offset
    plain = request.dtype == np.uint8 and request.scale == unit and offset == int(offset)
    plain = plain and 0 <= bias - offset < 2**16  # subtracted again in 16 bits
    finish = Finish(bias, unit, request.scale, offset, plain)
    return _problem(request, kernel.shape, taps.dtype, finish), taps


def _sweeps(request: Request, kernel_shape: tuple[int, ...]) -> tuple[Sweep, ...]:
    """Where the results along each axis are in the full convolution."""
    steps = None if request.spans is None else usual_steps(len(request.axes)).of_spans(request.spans)
    return tuple(as_sweeps(request.x_shape, kernel_shape, request.axes, request.mode, request.boundary, steps))


def _problem(request: Request, kernel_shape: tuple[int, ...], sums: np.dtype, finish: Finish | None) -> Problem:
    sweeps = _sweeps(request, kernel_shape)
    shape = with_extents(request.x_shape, request.axes, [sweep.outputs for sweep in sweeps])
    check_result_size("image", shape, sums)
    return problem_of(
        sweeps,
        x_dtype=request.x_dtype,
        kernel_dtype=sums,
        sums=sums,
        dtype=request.dtype,
        x_shape=request.x_shape,
        out_shape=shape,
        flip=request.flip,
        fill_value=request.fill_value,
        finish=finish,
    )


def integer_taps(kernel: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Return the taps as integer multiples of a unit, and the unit; None without a unit, or if sums might overflow.

    The unit is the smallest tap, or a half or a third of it. Taps may differ from multiples of it by their rounding to
    float32.
    """
    size = np.abs(kernel)
    if not size.any():
        return None
    least = size[size > 0].min()
    for part in (1, 2, 3):
        unit = least / part
        with np.errstate(over="ignore"):
            taps = np.rint(kernel / unit)
        if not np.abs(taps).sum() <= _MOST_NARROW:
            return None
        if (np.abs(taps * unit - kernel) <= _ROUNDING * size).all():
            return taps.astype(np.int16), float(unit)
    return None


# Relative error of a tap from its own rounding and that of the unit.
_ROUNDING = 2.0**-23
