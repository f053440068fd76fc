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
    Steps,
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
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.guarantees import in_words
from fastconv._model.message_formatting import clipped
from fastconv._model.missing_data import KernelSums, Missing, as_missing, result_dtype
from fastconv._model.problem import Finish, Problem
from fastconv._model.separability import Separable, as_taps
from fastconv._planning import engine_loader
from fastconv._planning.arrangement import Arrangement, broadcast
from fastconv._planning.half_precision import SINGLE, is_half
from fastconv._planning.method_choice import LARGEST_KEPT, Prepared, choice, factors_are_precise
from fastconv._planning.missing.missing_strips import Strips
from fastconv._planning.pictures import picture_plans
from fastconv._planning.plans import check_takes
from fastconv._planning.result_lines import check_valid, result_lines, with_extents
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy

# Nanoseconds for an element of the passes over a strip, on one core.
_STRIPS = 1.5
# Taps of a kernel given by its factors that is made an array, which other engines take too.
_SMALL = 1 << 14


class Pixels(NamedTuple):
    """Results that are pixels: their type, and what sums are divided by and moved."""

    dtype: np.dtype
    scale: float
    offset: float


class Request(NamedTuple):
    """Everything that a plan depends on except the taps of the kernel."""

    name: str
    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    mode: str | tuple[str, ...]
    axes: tuple[int, ...]
    boundary: str | tuple[str, ...]
    fill_value: Any
    method: str
    flip: bool
    guarantee: int
    missing: Missing
    pixels: Pixels | None = None
    steps: Steps | None = None


Methods = tuple[Any, str]


class MissingPlan:
    """A convolution of samples of which some are missing, ready to run with one kernel.

    Attributes
    ----------
    shape, dtype
        Of the result.
    method : str
        How it computes. It may be given, with what was decided for the ordinary convolution, as `methods`.
    lines
        Where the results along each axis are in the full convolution.
    """

    def __init__(self, request: Request, kernel: np.ndarray | Separable, methods: Methods | None = None):
        self.request, self.min_weight = request, request.missing.min_weight
        x_dtype, axes, missing, pixels = request.x_dtype, request.axes, request.missing, request.pixels
        if pixels is None:
            self.dtype = result_dtype(request.name, x_dtype, kernel.dtype)
            self.sums_dtype = SINGLE if is_half(self.dtype) else self.dtype
        else:
            self.dtype, self.sums_dtype = pixels.dtype, np.result_type(x_dtype, pixels.dtype, np.float32)
        is_aligned = len(kernel.shape) > len(axes)  # as many axes as the input: perhaps a kernel for each line
        taps = tuple(kernel.shape[axis] for axis in axes) if is_aligned else kernel.shape
        check_method(request.method, kernel.dtype, taps, self.dtype)
        check_kernel_size(kernel.shape, kernel.dtype)
        ordinary_method, own_method = methods or (request.method, request.method)
        if pixels is not None:
            self._picture, self._decided = (_as_picture(request, pixels), kernel), methods[0] if methods else None
            picture_plans.checked(*self._picture)
        real, given = np.empty(0, self.sums_dtype).real.dtype, kernel.dtype
        if isinstance(kernel, Separable) and (len(axes) > 2 or kernel.size <= _SMALL):
            kernel = kernel.taps(self.sums_dtype)
        if not isinstance(kernel, Separable):
            kernel = np.conj(kernel) if kernel.dtype.kind == "c" and not request.flip else kernel
            if kernel.dtype.kind in "biu" or is_half(kernel.dtype) or pixels is not None:
                with np.errstate(all="ignore"):
                    kernel = np.asarray(kernel).astype(real)
        lines = result_lines(request.x_shape, taps, axes, request.mode, request.boundary, request.steps)
        self.lines = tuple(lines)
        self.shape = with_extents(
            broadcast(request.name, request.x_shape, kernel.shape, axes), axes, [line.outputs for line in lines]
        )
        check_result_size(request.name, self.shape, self.dtype)
        x_shape = request.x_shape
        kernels: tuple[int, ...] = ()
        self._arrangement: Arrangement | None = None
        has_steps = request.steps is not None and not request.steps.are_usual
        if isinstance(kernel, np.ndarray) and (has_steps or len(axes) > 2 or is_aligned):
            arrangement = self._arrangement = Arrangement.of(x_shape, kernel.shape, lines, may_swap=False)
            x_shape, lines, kernels = arrangement.x_shape, [*arrangement.lines], arrangement.kernels
            kernel = arrangement.kernel_view(arrangement.aligned(kernel))
        if len(lines) == 1:  # all other axes have one tap
            ordinary_method, own_method = (
                "direct" if name == "separable" else name for name in (ordinary_method, own_method)
            )
        self.sums = KernelSums.of(kernel, (self.sums_dtype, given), missing.normalize, len(lines))
        self._problem = problem = self._problem_of(request, kernel, x_shape, lines, kernels)
        converts = is_half(x_dtype) or (isinstance(problem.fill_value, complex) and x_dtype.kind != "c")
        self._x_as = self.sums_dtype if converts else None
        self._ignores_nan = missing.ignores_nan and x_dtype.kind in "fc"
        if pixels is None:
            converted_problem = problem._replace(x_dtype=self._x_as or x_dtype)
            self._choice = choice(converted_problem, ordinary_method)
            check_takes(ordinary_method, converted_problem, self._choice)
        self._kernel = kernel
        self._large: Prepared | picture_plans.Picture | None = None
        self.method = own_method
        if pixels is None and own_method == "separable":
            _ = self._ordinary  # raises if the kernel is no outer product
        self._engine = self._choose(own_method, kernel, missing)
        self._whole = tuple(slice(0, extent) for extent in self.shape)
        self._border, self._inside = _at_missing_samples(problem)

    def _problem_of(self, request: Request, kernel: np.ndarray | Separable, x_shape, lines, kernels) -> Problem:
        """The problem of all sums."""
        pixels = request.pixels
        codes = [line.boundary for line in lines]
        if request.missing.ignores_nan and request.fill_value != request.fill_value:
            codes = [ZERO if code == FILL else code for code in codes]
        strides, dilations = (tuple(getattr(line, name) for line in lines) for name in ("stride", "dilation"))
        return Problem(
            x_dtype=request.x_dtype,
            kernel_dtype=kernel.dtype if isinstance(kernel, np.ndarray) else self.sums_dtype,
            sums=self.sums_dtype,
            dtype=self.sums_dtype if pixels is None else pixels.dtype,
            x_shape=x_shape,
            kernel_shape=tuple(line.taps for line in lines),
            out_shape=self.shape,
            axes=tuple(line.axis for line in lines),
            starts=tuple(line.start for line in lines),
            flip=request.flip,
            boundaries=tuple(codes),
            fill_value=request.fill_value if FILL in codes else 0,
            looks_outside=not all(line.is_inside for line in lines),
            finish=None if pixels is None else Finish(0.0, 1.0, pixels.scale, pixels.offset),
            guarantee=request.guarantee,
            strides=strides if any(step > 1 for step in strides) else (),
            dilations=dilations if any(step > 1 for step in dilations) else (),
            kernels=kernels,
        )

    def _choose(self, method: str, kernel: np.ndarray | Separable, missing: Missing) -> Any:
        """The engine, and `method`: sums of pairs where compiled code takes them, and nothing is cheaper."""
        problem, sums = self._problem, self.sums
        if self._x_as is not None:
            problem = problem._replace(x_dtype=self._x_as)
        engines = None if sys.is_finalizing() else engine_loader.load()
        if engines is None or not engines.missing_samples.supports(problem):
            if self.request.pixels is None:
                self.method = self.methods[0]
            return Strips(problem, as_taps(kernel, problem.sums), sums, missing, self.method)
        packer = engines.missing_samples.packer(problem, missing)
        pairs = engines.missing_samples.of_pairs(problem, sums, missing, None)
        costs = engines.missing_samples.estimates(pairs, sums)
        if "separable" in costs and engines.separable.SeparableEngine(pairs).prepare(kernel) is None:
            del costs["separable"]
        able = [*costs]
        if not isinstance(kernel, Separable) and not factors_are_precise(problem):
            costs.pop("separable", None)
        if isinstance(kernel, Separable):
            method = "separable"
        if method == "auto" and "fft" not in costs and engines.overlap_save.supports(problem):
            times = 2 if sums.sign else 3
            costs["fft"] = times * engines.overlap_save.estimate(problem) + _STRIPS * math.prod(self.shape)
        if method != "auto":
            costs = {method: 0.0}
        self.method = min(costs, key=costs.__getitem__)
        if self.method not in able:
            return Strips(problem, as_taps(kernel, problem.sums), sums, missing, self.method, packer)
        return engines.missing_samples.MissingEngine(problem, kernel, sums, missing, self.method)

    @property
    def _ordinary(self) -> Prepared | picture_plans.Picture:
        """The convolution where nothing is missing, prepared at first use; what no cache keeps is kept here."""
        found = self._large
        if found is None:
            if self.request.pixels is None:
                found = self._choice.prepare_cached(self._kernel)
            else:
                found = picture_plans.find(*self._picture, self._decided)
            if self._kernel.nbytes > LARGEST_KEPT:
                self._large = found
        return found

    @property
    def methods(self) -> Methods:
        """What was decided where nothing is missing, and the method where something is."""
        ordinary = self._ordinary
        return ordinary.method if isinstance(ordinary, Prepared) else ordinary.decided, self.method

    @property
    def shares_dtype(self) -> np.dtype:
        """The type of known shares."""
        return np.empty(0, self.sums_dtype).real.dtype

    @property
    def guarantee(self) -> str:
        """What is guaranteed of the error of a sum, in words."""
        return f"{in_words(self._problem, self.method)}, before the division"

    @property
    def nbytes(self) -> int:
        return self._kernel.nbytes + self._engine.nbytes + (0 if self._large is None else self._large.nbytes)

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
        if self._arrangement is not None:
            x = self._arrangement.input_view(x)
            weights = None if weights is None else self._arrangement.input_view(weights)
        if self._x_as is not None:
            x = converted(x, self._x_as)
        direct = out.dtype == self._problem.dtype
        result = out if direct else np.empty(self.shape, self._problem.dtype)
        if weights is None and self._inside and not (self._ignores_nan and has_nan(x)):
            ordinary = self._ordinary
            (ordinary.run if isinstance(ordinary, Prepared) else ordinary)(x, result, workers)
            if shares is not None:
                for chunk in chunk_slices(shares.shape):
                    shares[chunk] = 1
            for part in self._border:
                self._engine.run(x, None, result, shares, workers, part)
        else:
            self._engine.run(x, weights, result, shares, workers, self._whole)
        if result is not out:
            copy(out, result)


def _as_picture(request: Request, pixels: Pixels) -> picture_plans.Request:
    """The ordinary convolution of pixels."""
    return picture_plans.Request(
        x_dtype=request.x_dtype,
        x_shape=request.x_shape,
        dtype=pixels.dtype,
        mode=str(request.mode),
        axes=request.axes,
        boundary=str(request.boundary),
        fill_value=request.fill_value,
        scale=pixels.scale,
        offset=pixels.offset,
        flip=request.flip,
        premultiplied=False,
        method=request.method,
        spans=None if request.steps is None else request.steps.spans,
    )


def _at_missing_samples(problem: Problem) -> tuple[list[tuple[slice, ...]], bool]:
    """Parts of the result that reach samples missing outside; and whether all others are half of it, at least."""
    inside, found = [slice(0, extent) for extent in problem.out_shape], []
    for k, axis in enumerate(problem.axes):
        if problem.boundaries[k] != ZERO:
            continue
        extent, start, reach = problem.out_shape[axis], problem.starts[k], problem.kernel_shape[k] - 1
        stride = problem.strides[k] if problem.strides else 1
        reach *= problem.dilations[k] if problem.dilations else 1
        first = min(max(0, -((start - reach) // stride)), extent)
        last = max(first, min(extent, -((start - problem.x_shape[axis]) // stride)))
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
def _find(
    request: Request, dtype: np.dtype, shape: tuple[int, ...], content: bytes, methods: Methods | None
) -> MissingPlan:
    return MissingPlan(request, np.frombuffer(content, dtype).reshape(shape), methods)


@kept
def _find_separable(
    request: Request, lines: tuple[bytes, ...], dtype: np.dtype, methods: Methods | None
) -> MissingPlan:
    return MissingPlan(request, Separable(tuple(map(np.frombuffer, lines)), dtype), methods)


def find(request: Request, kernel: np.ndarray | Separable, methods: Methods | None = None) -> MissingPlan:
    """Return the plan for a request and a kernel, cached unless the kernel is large or the request has a NaN."""
    comparable = request.fill_value == request.fill_value or request.fill_value is math.nan
    if isinstance(kernel, Separable) and comparable:
        return _find_separable(request, tuple(line.tobytes() for line in kernel.lines), kernel.dtype, methods)
    if not isinstance(kernel, np.ndarray) or kernel.nbytes > LARGEST_KEPT or not comparable:
        return MissingPlan(request, kernel.copy() if isinstance(kernel, np.ndarray) else kernel, methods)
    return _find(request, kernel.dtype, kernel.shape, kernel.tobytes(), methods)


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
    steps: Steps | None,
    nan,
    min_weight,
    normalize,
    missing_value,
) -> MissingPlan:
    """Check all options, and find the plan; errors call the input `name`.

    A kernel of more dimensions than `axes` has those of the input, and is broadcast with it along all others.
    """
    check_operands(name, x_dtype, x_shape, kernel.dtype, kernel.shape)
    axes = as_axes(axes, len(axes), len(x_shape), "axis" if kernel.ndim == 1 else "axes")
    mode, boundary, method = as_choices(mode, boundary, method, len(axes))
    taps = kernel.shape if kernel.ndim == len(axes) else tuple(kernel.shape[axis] for axis in axes)
    check_valid(name, result_lines(x_shape, taps, axes, mode, boundary, steps), mode)
    dtype = result_dtype(name, x_dtype, kernel.dtype)
    if "fill" in boundary:
        fill_value = as_fill_value(fill_value, dtype)
    else:
        check_no_fill_value(fill_value)
        fill_value = 0
    missing = as_missing(nan, min_weight, normalize, missing_value, dtype)
    options = mode, axes, boundary, fill_value, method, flip, guarantee, missing
    request = Request(name, x_dtype, x_shape, *options, steps=steps)
    return find(request, kernel)


def as_weights(weights, shape: tuple[int, ...], dtype: np.dtype, copies: bool = False) -> np.ndarray:
    """Convert to an array of weights, in 0 .. 1, that is broadcast to `shape`, of a type for results of `dtype`.

    With `copies` an own array that may still be broadcast.
    """
    given = as_array(weights, "weights").view()
    if given.dtype.kind not in "biuf":
        raise TypeError(f"weights must hold real numbers; got dtype {clipped(given.dtype)}")
    if given.dtype.kind != "b" and dtype.char not in "gG":
        single = given.dtype.kind in "iu" or given.dtype.itemsize <= 4  # integers are 0 and 1
        with np.errstate(all="ignore"):
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
    return given.copy() if copies else result


def unmasked(x: Any, name: str) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Split an array-like into samples, and where they are not masked, None for everywhere; and tell of a mask."""
    if not is_masked_array(x):
        return as_array(x, name).view(), None, False
    samples = as_array(np.ma.getdata(x), name).view()
    mask = np.ma.getmask(x)
    known = None if mask is np.ma.nomask or mask.dtype.kind != "b" else ~plain_array(mask, name)
    return samples, known, True


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
    real = plan.shares_dtype
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
