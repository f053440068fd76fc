"""Plans of convolutions of samples of which some are missing: the plan of one kernel, and its run.

Where nothing is missing the ordinary convolution runs, but for outputs that reach beyond a `zero` boundary: those are
always normalized, so that no value at a border changes since a sample elsewhere is missing.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any, Callable, NamedTuple

import numpy as np

from fastconv._model.checks import check_kernel_size, check_method, check_result_size
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.guarantees import in_words
from fastconv._model.missing_data import KernelSums, Missing, result_dtype
from fastconv._model.problem import Finish, Problem
from fastconv._model.separability import Separable, as_taps, has_underflowed
from fastconv._model.steps import Steps
from fastconv._planning import engine_loader
from fastconv._planning.arrangement import Arrangement, broadcast
from fastconv._planning.half_precision import SINGLE, is_half
from fastconv._planning.method_choice import LARGEST_KEPT, Prepared, choice, factors_are_precise
from fastconv._planning.missing.missing_strips import Strips
from fastconv._planning.pictures import picture_plans
from fastconv._planning.plans import check_takes
from fastconv._planning.sweeps import as_sweeps, problem_of, with_extents
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy

# Nanoseconds for an element of the passes over a strip, on one core.
_STRIPS = 1.5
# Taps of a kernel given by its factors that is made an array, which other engines take too.
_SMALL = 1 << 14
# Elements that are looked at for a NaN at a time.
_LOOKED_AT = 1 << 16


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

    @property
    def has_steps(self) -> bool:
        """Whether results are not those of each sample in turn, by neighbouring taps."""
        return self.steps is not None and not self.steps.are_usual

    def types(self, kernel_dtype: np.dtype) -> tuple[np.dtype, np.dtype]:
        """Type of the result, and of the sums."""
        if self.pixels is not None:
            return self.pixels.dtype, np.result_type(self.x_dtype, self.pixels.dtype, np.float32)
        dtype = result_dtype(self.name, self.x_dtype, kernel_dtype)
        return dtype, SINGLE if is_half(dtype) else dtype

    def of_picture(self, pixels: Pixels) -> picture_plans.Request:
        """The ordinary convolution of pixels."""
        return picture_plans.Request(
            x_dtype=self.x_dtype,
            x_shape=self.x_shape,
            dtype=pixels.dtype,
            mode=str(self.mode),
            axes=self.axes,
            boundary=str(self.boundary),
            fill_value=self.fill_value,
            scale=pixels.scale,
            offset=pixels.offset,
            flip=self.flip,
            premultiplied=False,
            method=self.method,
            spans=None if self.steps is None else self.steps.spans,
        )


Methods = tuple[Any, Any]  # as of `MissingPlan.methods`


class MissingPlan:
    """A convolution of samples of which some are missing, ready to run with one kernel.

    Attributes
    ----------
    shape, dtype
        Of the result.
    method : str
        How it computes where something is missing.
    sweeps
        Where the results along each axis are in the full convolution.
    """

    def __init__(self, request: Request, kernel: np.ndarray | Separable, methods: Methods | None = None):
        self.request = request
        self.dtype, self._sums_dtype = request.types(kernel.dtype)
        is_aligned = len(kernel.shape) > len(request.axes)  # as many axes as the input: perhaps a kernel for each line
        taps = tuple(kernel.shape[axis] for axis in request.axes) if is_aligned else kernel.shape
        check_method(request.method, kernel.dtype, taps, self.dtype)
        check_kernel_size(kernel.shape, kernel.dtype)
        if request.pixels is not None:
            picture_plans.checked(request.of_picture(request.pixels), kernel)
        sweeps = as_sweeps(request.x_shape, taps, request.axes, request.mode, request.boundary, request.steps)
        around = broadcast(request.name, request.x_shape, kernel.shape, request.axes)
        self.sweeps, self.shape = tuple(sweeps), with_extents(around, request.axes, [sweep.outputs for sweep in sweeps])
        check_result_size(request.name, self.shape, self.dtype)
        summed = _as_summed(kernel, request, self._sums_dtype)
        self._arrangement: Arrangement | None = None
        if isinstance(summed, np.ndarray) and (request.has_steps or len(sweeps) > 2 or is_aligned):
            self._arrangement = Arrangement.of(request.x_shape, summed.shape, sweeps, may_swap=False)
            summed = self._arrangement.kernel_view(self._arrangement.aligned(summed))
        self._kernel, self._problem = summed, self._problem_of(summed)
        count = len(self._problem.axes)
        self._sums = KernelSums.of(summed, (self._sums_dtype, kernel.dtype), request.missing.normalize, count)
        ordinary, method = methods or (None if request.pixels else request.method, request.method)
        if count == 1:  # all other axes have one tap
            ordinary, method = ("direct" if name == "separable" else name for name in (ordinary, method))
        self._ordinary = self._ordinary_of(kernel, ordinary)
        if request.pixels is None and method == "separable":
            self._ordinary.prepared()  # raises if the kernel is no outer product
        self.method, self._engine = self._choose(method)
        self._ignores_nan = request.missing.ignores_nan and request.x_dtype.kind in "fc"
        self._whole = tuple(slice(0, extent) for extent in self.shape)
        self._border, self._is_mostly_inside = _border(self._problem)

    def _problem_of(self, kernel: np.ndarray | Separable) -> Problem:
        """The problem of all sums, of the input as it is converted and arranged."""
        request, pixels, sweeps, arrangement = self.request, self.request.pixels, self.sweeps, self._arrangement
        x_shape, kernels = request.x_shape, tuple[int, ...]()
        if arrangement is not None:
            x_shape, sweeps, kernels = arrangement.x_shape, arrangement.sweeps, arrangement.kernels
        codes = [sweep.boundary for sweep in sweeps]
        if request.missing.ignores_nan and request.fill_value != request.fill_value:
            codes = [ZERO if code == FILL else code for code in codes]
        fills = any(code == FILL and not sweep.is_inside for code, sweep in zip(codes, sweeps))
        fill_value = request.fill_value if fills else 0
        if fill_value.imag == 0:  # a real input stays real
            fill_value = fill_value.real
        converts = is_half(request.x_dtype) or (fill_value.imag != 0 and request.x_dtype.kind != "c")
        return problem_of(
            sweeps,
            x_dtype=self._sums_dtype if converts else request.x_dtype,
            kernel_dtype=kernel.dtype if isinstance(kernel, np.ndarray) else self._sums_dtype,
            sums=self._sums_dtype,
            dtype=self._sums_dtype if pixels is None else pixels.dtype,
            x_shape=x_shape,
            out_shape=self.shape,
            flip=request.flip,
            boundaries=tuple(codes),
            fill_value=fill_value,
            finish=None if pixels is None else Finish(0.0, 1.0, pixels.scale, pixels.offset),
            guarantee=request.guarantee,
            kernels=kernels,
        )

    def _ordinary_of(self, kernel: np.ndarray | Separable, method: Any) -> _Ordinary:
        """The convolution where nothing is missing, of the kernel as given; `method` is a `Decided` for pixels."""
        prepare: Callable[[], Prepared | picture_plans.Picture]
        if self.request.pixels is None:
            found = choice(self._problem, method)
            check_takes(method, self._problem, found)
            prepare = functools.partial(found.prepare_cached, self._kernel)
        else:
            request = self.request.of_picture(self.request.pixels)
            prepare = functools.partial(picture_plans.find, request, kernel, method)
        return _Ordinary(prepare, is_large=self._kernel.nbytes > LARGEST_KEPT)

    def _choose(self, method: str) -> tuple[str, Any]:
        """The method, and its engine: sums of pairs where compiled code takes them, and nothing is cheaper."""
        problem, kernel, sums, missing = self._problem, self._kernel, self._sums, self.request.missing
        engines = None if sys.is_finalizing() else engine_loader.load()
        if engines is None or not engines.missing_samples.supports(problem):
            if self.request.pixels is None:
                method = self._ordinary.method
            return method, Strips(problem, as_taps(kernel, problem.sums), sums, missing, method)
        packer = engines.missing_samples.packer(problem, missing)
        pairs = engines.missing_samples.of_pairs(problem, sums, missing, None)
        costs = engines.missing_samples.estimates(pairs, sums)
        if "separable" in costs and engines.separable.SeparableEngine(pairs).prepare(kernel) is None:
            del costs["separable"]
        able = [*costs]
        if not isinstance(kernel, Separable) and (not factors_are_precise(problem) or has_underflowed(kernel)):
            costs.pop("separable", None)
        if isinstance(kernel, Separable):
            method = "separable"
        if method == "auto" and "fft" not in costs and engines.overlap_save.supports(problem):
            times = 2 if sums.sign else 3
            costs["fft"] = times * engines.overlap_save.estimate(problem) + _STRIPS * math.prod(self.shape)
        if method == "auto":
            method = min(costs, key=costs.__getitem__)
        if method not in able:
            return method, Strips(problem, as_taps(kernel, problem.sums), sums, missing, method, packer)
        return method, engines.missing_samples.MissingEngine(problem, kernel, sums, missing, method)

    @property
    def methods(self) -> Methods:
        """What was decided where nothing is missing, and the method where something is."""
        return self._ordinary.method, self.method

    @property
    def shares_dtype(self) -> np.dtype:
        """The type of known shares."""
        return np.empty(0, self._sums_dtype).real.dtype

    @property
    def guarantee(self) -> str:
        """What is guaranteed of the error of a sum, in words."""
        return f"{in_words(self._problem, self.method)}, before the division"

    @property
    def nbytes(self) -> int:
        return self._kernel.nbytes + self._engine.nbytes + self._ordinary.nbytes

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
        if self._problem.x_dtype != x.dtype:
            x = converted(x, self._problem.x_dtype)
        direct = out.dtype == self._problem.dtype
        result = out if direct else np.empty(self.shape, self._problem.dtype)
        if weights is None and self._is_mostly_inside and not (self._ignores_nan and _has_nan(x)):
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


class _Ordinary:
    """The convolution where nothing is missing: prepared when it is needed, and kept here if no cache keeps it."""

    def __init__(self, prepare: Callable[[], Prepared | picture_plans.Picture], is_large: bool):
        self._prepare, self._is_large = prepare, is_large
        self._kept: Prepared | picture_plans.Picture | None = None

    def prepared(self) -> Prepared | picture_plans.Picture:
        found = self._prepare() if self._kept is None else self._kept
        if self._is_large:
            self._kept = found
        return found

    @property
    def method(self) -> Any:
        """The method; of pixels all that was decided."""
        found = self.prepared()
        return found.method if isinstance(found, Prepared) else found.decided

    @property
    def nbytes(self) -> int:
        return 0 if self._kept is None else self._kept.nbytes

    def run(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`."""
        found = self.prepared()
        (found.run if isinstance(found, Prepared) else found)(x, out, workers)


def _as_summed(kernel: np.ndarray | Separable, request: Request, sums: np.dtype) -> np.ndarray | Separable:
    """The kernel in the type that engines take: factors stay factors where they are many taps along two axes."""
    if isinstance(kernel, Separable):
        if len(request.axes) == 2 and kernel.size > _SMALL:
            return kernel
        kernel = kernel.taps(sums)
    if kernel.dtype.kind == "c" and not request.flip:
        kernel = np.conj(kernel)
    if kernel.dtype.kind in "biu" or is_half(kernel.dtype) or request.pixels is not None:
        with np.errstate(all="ignore"):
            kernel = np.asarray(kernel).astype(np.empty(0, sums).real.dtype)
    return kernel


def _border(problem: Problem) -> tuple[list[tuple[slice, ...]], bool]:
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


def _has_nan(x: np.ndarray) -> bool:
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
