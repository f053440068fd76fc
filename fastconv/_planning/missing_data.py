"""Convolutions of samples of which some are missing: checked arguments, the plan of one kernel, and its run.

Where nothing is missing the ordinary convolution runs, but for outputs that reach beyond a `zero` boundary: those are
always normalized, so that no value at a border changes since a sample elsewhere is missing.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_choices,
    as_fill_value,
    check_no_fill_value,
    is_masked_array,
    plain_array,
)
from fastconv._model.checks import (
    as_out,
    check_kernel_size,
    check_method,
    check_operands,
    check_result_size,
    overlaps_itself,
)
from fastconv._model.geometry import BOUNDARIES, FILL, ZERO, span
from fastconv._model.message_formatting import clipped
from fastconv._model.missing_data import KernelSums, Missing, as_missing, result_dtype
from fastconv._model.problem import Problem
from fastconv._planning import engine_loader
from fastconv._planning.method_choice import LARGEST_KEPT, Prepared, choice
from fastconv._planning.missing_strips import Strips
from fastconv._planning.plans import check_valid
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy

# Nanoseconds for an element of the passes over a strip, on one core.
_STRIPS = 6.0
_SINGLE = np.dtype(np.float32)


class Request(NamedTuple):
    """Everything that a plan depends on except the taps of the kernel."""

    name: str
    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    mode: str
    axes: tuple[int, ...]
    boundary: str
    fill_value: Any
    method: str
    flip: bool
    guarantee: int
    missing: Missing


class MissingPlan:
    """A convolution of samples of which some are missing, ready to run with one kernel.

    Attributes
    ----------
    shape, dtype
        Of the result.
    method : str
        How it computes.
    """

    def __init__(self, request: Request, kernel: np.ndarray):
        axes, missing = request.axes, request.missing
        self.dtype = result_dtype(request.name, request.x_dtype, kernel.dtype)
        self.sums_dtype = _SINGLE if self.dtype.char == "e" else self.dtype
        check_method(request.method, kernel.dtype, kernel.shape, self.dtype)
        spans = [span(request.mode, request.x_shape[axis], taps) for axis, taps in zip(axes, kernel.shape)]
        shape = list(request.x_shape)
        for axis, (length, _) in zip(axes, spans):
            shape[axis] = length
        self.shape = tuple(shape)
        check_result_size(request.name, self.shape, self.dtype)
        check_kernel_size(kernel.shape, kernel.dtype)
        if kernel.dtype.kind == "c" and not request.flip:
            kernel = np.conj(kernel)
        if kernel.dtype.kind in "biu" or kernel.dtype.char == "e":
            kernel = kernel.astype(np.empty(0, self.sums_dtype).real.dtype)
        self.sums = KernelSums.of(kernel, self.dtype, missing.normalize)
        code = ZERO if request.mode == "valid" else BOUNDARIES.index(request.boundary)
        if code == FILL and missing.ignores_nan and request.fill_value != request.fill_value:
            code = ZERO
        starts = tuple(start for _, start in spans)
        self._problem = Problem(
            x_dtype=request.x_dtype,
            kernel_dtype=kernel.dtype,
            sums=self.sums_dtype,
            dtype=self.sums_dtype,
            x_shape=request.x_shape,
            kernel_shape=kernel.shape,
            out_shape=self.shape,
            axes=axes,
            starts=starts,
            flip=request.flip,
            boundaries=(code,) * len(axes),
            fill_value=request.fill_value if code == FILL else 0,
            looks_outside=any(
                start < taps - 1 or start + length > request.x_shape[axis]
                for axis, taps, (length, start) in zip(axes, kernel.shape, spans)
            ),
            guarantee=request.guarantee,
        )
        ordinary = self._problem
        if request.x_dtype.char == "e" or (isinstance(ordinary.fill_value, complex) and request.x_dtype.kind != "c"):
            self._x_as: np.dtype | None = self.sums_dtype
            ordinary = ordinary._replace(x_dtype=self.sums_dtype)
        else:
            self._x_as = None
        self.min_weight = missing.min_weight
        self._ignores_nan = missing.ignores_nan and request.x_dtype.kind in "fc"
        self._ordinary: Prepared = choice(ordinary, request.method).prepare(kernel)
        self.method = self._ordinary.method
        self._engine = self._choose(request.method, kernel, missing)
        self._whole = tuple(slice(0, extent) for extent in self.shape)
        self._border, self._inside = _at_missing_samples(self._problem)

    def _choose(self, method: str, kernel: np.ndarray, missing: Missing) -> Any:
        """The engine, and `method`: sums of pairs where compiled code takes them, and nothing is cheaper."""
        problem, sums = self._problem, self.sums
        if self._x_as is not None:
            problem = problem._replace(x_dtype=self._x_as)
        by_strips = Strips(problem, kernel, sums, missing, self.method)
        if sys.is_finalizing():
            return by_strips
        engines = engine_loader.load()
        if not engines.missing_samples.supports(problem) or method == "fft":
            return by_strips
        pairs = engines.missing_samples.of_pairs(problem, sums, missing, None)
        costs = engines.missing_samples.estimates(pairs, sums)
        if "separable" in costs and engines.separable.SeparableEngine(pairs).prepare(kernel) is None:
            del costs["separable"]
        if method == "auto" and engines.overlap_save.supports(problem):
            times = 2 if sums.sign else 3
            costs["fft"] = times * engines.overlap_save.estimate(problem) + _STRIPS * math.prod(self.shape)
        if method in costs:
            costs = {method: 0.0}
        elif method == "separable":
            return by_strips
        self.method = min(costs, key=costs.__getitem__)
        if self.method == "fft":
            return Strips(problem, kernel, sums, missing, "fft")
        return engines.missing_samples.MissingEngine(problem, kernel, sums, missing, self.method)

    @property
    def nbytes(self) -> int:
        return self._ordinary.nbytes + self._engine.nbytes

    def __call__(
        self,
        x: np.ndarray,
        weights: np.ndarray | None,
        out: np.ndarray,
        shares: np.ndarray | None,
        workers: int | None,
    ) -> None:
        """Fill `out`, and `shares` with what is known of each result; they share no memory with `x` and `weights`."""
        _pins = pinned(x, out) if weights is None else pinned(x, out, weights)
        if self._x_as is not None:
            x = converted(x, self._x_as)
        result = out if out.dtype == self.sums_dtype else np.empty(self.shape, self.sums_dtype)
        if weights is None and self._inside and not (self._ignores_nan and has_nan(x)):
            self._ordinary.run(x, result, workers)
            if shares is not None:
                for chunk in chunk_slices(shares.shape):
                    shares[chunk] = 1
            for part in self._border:
                self._engine.run(x, None, result, shares, workers, part)
        else:
            self._engine.run(x, weights, result, shares, workers, self._whole)
        if result is not out:
            copy(out, result)


def _at_missing_samples(problem: Problem) -> tuple[list[tuple[slice, ...]], bool]:
    """Parts of the result that reach samples missing outside; and whether all others are half of it, at least."""
    inside, found = [slice(0, extent) for extent in problem.out_shape], []
    for k, axis in enumerate(problem.axes):
        if problem.boundaries[k] != ZERO:
            continue
        extent, taps = problem.out_shape[axis], problem.kernel_shape[k]
        first = min(max(0, taps - 1 - problem.starts[k]), extent)
        last = max(first, min(extent, problem.x_shape[axis] - problem.starts[k]))
        for part in (slice(0, first), slice(last, extent)):
            if part.start < part.stop:
                where = inside.copy()
                where[axis] = part
                found.append(tuple(where))
        inside[axis] = slice(first, last)
    size = math.prod(part.stop - part.start for part in inside)
    return found, 2 * size >= math.prod(problem.out_shape)


_LOOKED_AT = 1 << 16  # elements at a time


def has_nan(x: np.ndarray) -> bool:
    """Whether a float array has a NaN; the first one ends the search, which goes through memory in its order.

    The least of some numbers is a NaN if one of them is, and NumPy finds it at the speed of memory.
    """
    x = x.transpose(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))
    with np.errstate(invalid="ignore"):
        for chunk in chunk_slices(x.shape, _LOOKED_AT):
            part = x[chunk]
            for numbers in (part.real, part.imag) if x.dtype.kind == "c" else (part,):
                least = numbers.min()
                if least != least:
                    return True
    return False


@kept
def _find(request: Request, dtype: np.dtype, shape: tuple[int, ...], content: bytes) -> MissingPlan:
    return MissingPlan(request, np.frombuffer(content, dtype).reshape(shape))


def find(request: Request, kernel: np.ndarray) -> MissingPlan:
    """Return the plan for a request and a kernel, cached unless the kernel is large or the request has a NaN."""
    comparable = request.fill_value == request.fill_value or request.fill_value is math.nan
    if kernel.nbytes > LARGEST_KEPT or not comparable:
        return MissingPlan(request, kernel.copy())
    return _find(request, kernel.dtype, kernel.shape, kernel.tobytes())


def checked(
    name: str,
    x_dtype: np.dtype,
    x_shape: tuple[int, ...],
    kernel: np.ndarray,
    mode,
    axes,
    boundary,
    fill_value,
    method,
    flip: bool,
    guarantee: int,
    nan,
    min_weight,
    normalize,
    missing_value,
) -> MissingPlan:
    """Check all options, and find the plan; errors call the input `name`."""
    check_operands(name, x_dtype, x_shape, kernel.dtype, kernel.shape)
    mode, boundary, method = as_choices(mode, boundary, method, 1)
    axes = as_axes(axes, kernel.ndim, len(x_shape), "axis" if kernel.ndim == 1 else "axes")
    if mode == "valid":
        check_valid(name, tuple(x_shape[axis] for axis in axes), kernel.shape)
    dtype = result_dtype(name, x_dtype, kernel.dtype)
    if boundary == "fill":
        fill_value = as_fill_value(fill_value, dtype)
    else:
        check_no_fill_value(fill_value)
        fill_value = 0
    missing = as_missing(nan, min_weight, normalize, missing_value, dtype)
    request = Request(name, x_dtype, x_shape, mode, axes, boundary, fill_value, method, flip, guarantee, missing)
    return find(request, kernel)


def as_weights(weights, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Convert to an array of weights, in 0 .. 1, that is broadcast to `shape`, of a type for results of `dtype`."""
    given = as_array(weights, "weights").view()
    if given.dtype.kind not in "biuf":
        raise TypeError(f"weights must hold real numbers; got dtype {clipped(given.dtype)}")
    if given.dtype.kind != "b" and dtype.char not in "gG":
        single = given.dtype.kind in "iu" or given.dtype.itemsize <= 4  # integers are 0 and 1
        given = given.astype(np.float32 if single else np.float64, copy=False)
    try:
        result = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(f"weights must be of a shape that broadcasts to {shape}; got {given.shape}") from None
    if given.dtype.kind != "b":
        with np.errstate(invalid="ignore"):
            for chunk in chunk_slices(given.shape):
                least, largest = given[chunk].min(), given[chunk].max()
                if not (least >= 0 and largest <= 1):
                    raise ValueError(f"weights must lie in 0 .. 1; got numbers from {least:.3g} to {largest:.3g}")
    return result


def unmasked(x: Any, name: str) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Split an array-like into samples, and where they are not masked, None for everywhere; and tell of a mask."""
    if not is_masked_array(x):
        return as_array(x, name).view(), None, False
    mask = np.ma.getmask(x)
    known = None if mask is np.ma.nomask else ~plain_array(mask, name)
    return plain_array(np.ma.getdata(x), name).view(), known, True


def run(
    plan: MissingPlan,
    x: np.ndarray,
    known: np.ndarray | None,
    weights: np.ndarray | None,
    masked: bool,
    out: np.ndarray | None,
    return_weight: bool,
    workers: int | None,
) -> Any:
    """Convolve `x`: return the result, masked where it is unknown if `masked`; and the known shares if asked for."""
    if known is not None:
        known = np.broadcast_to(known, x.shape)
        weights = known if weights is None else np.multiply(weights, known)
    given = None if out is None else as_out(out, plan.shape, plan.dtype)
    apart = given is not None and not overlaps_itself(given)
    apart = apart and not any(np.may_share_memory(given, array) for array in (x, weights) if array is not None)
    _out_pins = () if given is None else pinned(given)
    result = given if given is not None and apart else np.empty(plan.shape, plan.dtype)
    real = np.empty(0, plan.sums_dtype).real.dtype
    shares = np.empty(plan.shape, real) if return_weight or masked else None
    plan(x, weights, result, shares, workers)
    if given is not None and result is not given:
        copy(given, result)
    answer: Any = result if out is None else out
    if masked and shares is not None:
        unknown = ~(shares > real.type(plan.min_weight))
        if out is None:
            answer = np.ma.MaskedArray(result, unknown)
        elif is_masked_array(out):
            out.mask = unknown  # type: ignore[attr-defined]
    return (answer, shares) if return_weight else answer
