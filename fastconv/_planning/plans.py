"""Plans: the arguments of a convolution checked, and made a problem for an engine, before there are any arrays.

A plan depends on types, shapes and options alone. Plans are cached, so that a second call like the first finds one.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.arguments import (
    as_axes,
    as_choices,
    as_fill_value,
    check_no_fill_value,
)
from fastconv._model.checks import check_kernel_size, check_method, check_operands, check_result_size
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.guarantees import FOOTPRINT, RAW, in_words
from fastconv._model.message_formatting import clipped
from fastconv._model.problem import Problem
from fastconv._model.steps import Steps
from fastconv._planning import exchanged_input
from fastconv._planning.arrangement import Arrangement, broadcast, with_common_boundary
from fastconv._planning.half_precision import SINGLE, is_half, rounded
from fastconv._planning.method_choice import Choice, Decision, Prepared
from fastconv._planning.sweeps import Sweep, as_sweeps, check_valid, problem_of, with_extents
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import Table, size_of
from fastconv._runtime.interruptible_numpy import converted


class _Conversions(NamedTuple):
    """Conversion of both arrays to the types that an engine takes."""

    x: np.dtype | None  # None for none
    kernel: np.dtype | None
    conjugate: bool  # the kernel, for a correlation
    half: bool  # compute in single precision, and round the result

    @classmethod
    def of(cls, x: np.dtype, kernel: np.dtype, result: np.dtype, fill_value, flip: bool) -> _Conversions:
        x_as, kernel_as = (SINGLE if is_half(dtype) else None for dtype in (x, kernel))
        if result.kind == "c" and x.kind != "c" and fill_value.imag != 0:
            x_as = result  # a complex fill value makes a real input complex
        return cls(x_as, kernel_as, not flip and kernel.kind in "cO", is_half(result))

    @property
    def any(self) -> bool:
        return bool(self.x or self.kernel or self.conjugate or self.half)

    def convert_x(self, x: np.ndarray) -> np.ndarray:
        return converted(x, self.x) if self.x else x

    def convert_kernel(self, kernel: np.ndarray) -> np.ndarray:
        if self.conjugate:
            kernel = np.conj(kernel)
        return converted(kernel, self.kernel) if self.kernel else kernel


class _Explained:
    """Context that blames the arguments for operations that Python objects do not support."""

    def __init__(self, name: str):
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, (TypeError, AttributeError, OverflowError)):
            message = f"{self._name} and kernel must hold objects that can be multiplied and added; {clipped(error)}"
            raise (ValueError if isinstance(error, OverflowError) else TypeError)(message) from error


def check_takes(method: str, problem: Problem, found: Choice) -> None:
    """Refuse a method that no engine has for a problem."""
    if method in ("separable", "fft") and not (problem.is_plain or found.takes(method)):
        raise ValueError(
            f"method={method!r} does not support this convolution, of more than two axes, or with strides, "
            "dilations, a kernel for each line, or both 'zero' and 'fill' outside; use 'auto'"
        )


class Request(NamedTuple):
    """Everything that a plan depends on, apart from what errors call the input."""

    x_dtype: np.dtype
    x_shape: tuple[int, ...]
    kernel_dtype: np.dtype
    kernel_shape: tuple[int, ...]
    mode: str | tuple[str, ...]
    axes: tuple[int, ...]
    boundary: str | tuple[str, ...]
    fill_value: Any
    method: str
    flip: bool
    guarantee: int = FOOTPRINT
    steps: Steps | None = None


class Plan:
    """A convolution ready to run; errors call its input `name`.

    Attributes
    ----------
    shape, dtype
        Of the result.
    sweeps
        Where the results along each axis are in the full convolution.
    """

    def __init__(self, request: Request, name: str = "x", decision: Decision | None = None, may_exchange: bool = True):
        x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip, *_ = request
        self._request, self._name, self._decision = request, name, decision
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        count, steps = len(axes), request.steps
        as_choices(mode, boundary, method, count)
        self._axes = as_axes(axes, count, len(x_shape), "axis" if len(kernel_shape) == 1 else "axes")
        # With as many axes as the input there may be a kernel for each line.
        taps = tuple(kernel_shape[axis] for axis in self._axes) if len(kernel_shape) > count else kernel_shape
        self.sweeps = tuple(as_sweeps(x_shape, taps, self._axes, mode, boundary, steps))
        check_valid(name, self.sweeps, mode)
        self.dtype = np.result_type(x_dtype, kernel_dtype)
        check_method(method, kernel_dtype, taps, self.dtype)
        around = broadcast(name, x_shape, kernel_shape, self._axes)
        self.shape = with_extents(around, self._axes, [sweep.outputs for sweep in self.sweeps])
        self._explained = _Explained(name) if self.dtype.kind == "O" else contextlib.nullcontext()
        check_result_size(name, self.shape, self.dtype)
        check_kernel_size(kernel_shape, kernel_dtype)
        is_filled = any(sweep.boundary == FILL and not sweep.is_inside for sweep in self.sweeps)
        self._fill_value = fill_value if is_filled else 0
        self._conversions = _Conversions.of(x_dtype, kernel_dtype, self.dtype, self._fill_value, flip)
        # A part is computed as all results are, with the arrays in the same roles.
        is_part = steps is not None and steps.spans is not None
        commutes = self.dtype.kind != "O"
        self._take_roles(method != "separable" and may_exchange and commutes and not is_part)
        check_takes(self._choice.method, self._problem, self._choice)
        self._engine = self._choice.only
        changed = self._swap or self._conversions.any or self._arrangement is not None
        self._plain = not changed and self.dtype.kind != "O" and self._engine is not None
        self._looks = self._choice.looks

    def _take_roles(self, may_swap: bool) -> None:
        """Decide which array is the kernel of the problem, and whether results near corners are mended then."""
        guarantee = self._request.guarantee
        self._arrange(may_swap, guarantee)
        self._mends = False
        # The error of a spectrum is bounded relative to what lies under the kernel, which must be that of the caller.
        by_spectrum = self.dtype.kind in "fc" and self._choice.usual == "fft"
        if self._swap and len(self._axes) > 1 and guarantee != RAW and by_spectrum:
            smaller = all(sweep.samples <= sweep.taps for sweep in self.sweeps)
            self._mends = smaller and guarantee == FOOTPRINT and len(self._axes) == 2 and self._arrangement is None
            self._arrange(self._mends, RAW if self._mends else guarantee)

    def _arrange(self, may_swap: bool, guarantee: int) -> None:
        """Set views and roles of the arrays, the problem that results, and the choice of its engine."""
        request, axes = self._request, list(self.sweeps)
        shape, kernel_shape, steps = request.x_shape, request.kernel_shape, request.steps
        kernels: tuple[int, ...] = ()
        has_steps = steps is not None and not steps.are_usual
        self._arrangement: Arrangement | None = None
        if has_steps or len(axes) > 2 or len(kernel_shape) > len(axes):
            arrangement = Arrangement.of(shape, kernel_shape, axes, may_swap)
            shape, axes, self._swap = arrangement.x_shape, list(arrangement.sweeps), arrangement.swap
            kernels = arrangement.kernels
            self._arrangement = None if arrangement.is_plain else arrangement
        else:
            # Convolution commutes where nothing is outside; the engines want the short array as the kernel.
            axes = with_common_boundary(axes)
            shorter = math.prod(shape) < math.prod(kernel_shape)
            is_zero = all(sweep.boundary == ZERO for sweep in axes)
            self._swap = shorter and is_zero and len(axes) == len(shape) and may_swap
            if self._swap:
                shape = with_extents(shape, self._axes, kernel_shape)
                axes = [sweep._replace(samples=sweep.taps, taps=sweep.samples) for sweep in axes]
        self._flip_kernel = self._swap and not request.flip
        self._problem = self._problem_of(shape, axes, kernels, guarantee)
        # All other axes have one tap.
        method = "direct" if request.method == "separable" and len(axes) == 1 else request.method
        self._choice = Choice(self._problem, method, self._decision)

    def _problem_of(self, x_shape, sweeps: list[Sweep], kernels: tuple[int, ...], guarantee: int) -> Problem:
        """The problem that an engine gets, of arrays in their roles."""
        request, conversions = self._request, self._conversions
        x_dtype, kernel_dtype = conversions.x or request.x_dtype, conversions.kernel or request.kernel_dtype
        if conversions.conjugate:
            kernel_dtype = kernel_dtype.newbyteorder("=")  # as all results of NumPy
        if self._swap:
            x_dtype, kernel_dtype = kernel_dtype, x_dtype
        sums = SINGLE if conversions.half else self.dtype
        return problem_of(
            sweeps,
            x_dtype=x_dtype,
            kernel_dtype=kernel_dtype,
            sums=sums,
            dtype=sums,
            x_shape=x_shape,
            out_shape=self.shape,
            flip=request.flip or self._flip_kernel,
            fill_value=self._fill_value,
            guarantee=guarantee,
            kernels=kernels,
        )

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x` and `kernel`."""
        ready = self._plain and not (self._looks and self._choice.may_trim(x, kernel))
        if ready and self._engine(x, kernel, out, workers):
            return
        with self._explained:
            self._convert_and_compute(x, kernel, out, workers)

    def _convert_and_compute(self, x, kernel, out, workers):
        _pins = pinned(x, kernel, out)
        given, aligned, flaws = (x, kernel), (x, kernel), None
        x, kernel = self._conversions.convert_x(x), self._conversions.convert_kernel(kernel)
        if self._arrangement is not None:
            x, kernel = self._arrangement.roles(x, kernel, self._flip_kernel)
            x, kernel = self._arrangement.input_view(x), self._arrangement.kernel_view(kernel)
        elif self._swap:
            if self._flip_kernel:
                kernel = np.flip(kernel)
            if self._mends:
                aligned = x, kernel if self._axes[0] < self._axes[1] else kernel.T
                flaws = exchanged_input.find(self._problem, *aligned)
                if flaws is None:
                    Plan(self._request, self._name, may_exchange=False)(*given, out, workers)
                    return
            if len(self._axes) == 2 and self._axes[0] > self._axes[1]:
                x, kernel = kernel.T, x.T
            else:
                x, kernel = kernel, x

        def compute(result):
            self._choice.run(self._engine, x, kernel, result, workers)
            if flaws is not None:
                exchanged_input.mend(self._problem, flaws, *aligned, result, workers)

        self._fill(out, compute)

    def _fill(self, out, compute):
        """Have `out` computed, in single precision if it is of half."""
        if not self._conversions.half:
            compute(out)
            return
        with rounded(out) as single:
            compute(single)

    @property
    def costs(self) -> dict[str, float]:
        """Estimated nanoseconds on one core by method; none where NumPy computes, or `x` is the engine's kernel."""
        return {} if self._swap else self._choice.costs

    def cost(self, kernel: np.ndarray) -> float:
        """Estimated nanoseconds on one core with a kernel; it is prepared for that."""
        return self._choice.prepare_cached(self._kernel_view(kernel)).cost

    @property
    def nbytes(self) -> int:
        return size_of(self._engine)

    @property
    def fill_value(self):
        return self._request.fill_value

    def decision(self, prepared: Prepared | None) -> Decision:
        """The decision for a kernel that `prepare` returned."""
        return self._choice.decision(prepared)

    @property
    def method(self) -> str:
        """The method for most kernels."""
        return self._choice.usual

    def error_bound(self, method: str) -> str:
        """What is guaranteed of the error of each result by a method, in words."""
        return in_words(self._problem._replace(guarantee=self._request.guarantee), method)

    def estimate(self, method: str) -> float:
        """Estimated nanoseconds on one core by a method; infinite for one that is not considered."""
        return self._choice.costs.get(method, math.inf)

    @property
    def reason(self) -> str:
        return self._choice.reason(self.method)

    def compile_all(self) -> None:
        """Compile all that convolutions of these types need along as many axes, whatever their sizes and the kernel."""
        self._choice.compile_all()

    def prepare(self, kernel: np.ndarray) -> Prepared | None:
        """Prepare a kernel for `run`; None if the arrays are swapped, so that an engine's kernel is `x`."""
        with self._explained:
            return None if self._swap else self._choice.prepare(self._kernel_view(kernel))

    def _kernel_view(self, kernel: np.ndarray) -> np.ndarray:
        """The kernel as the problem has it, without a swap."""
        kernel = self._conversions.convert_kernel(kernel)
        arrangement = self._arrangement
        return kernel if arrangement is None else arrangement.kernel_view(arrangement.aligned(kernel))

    def run(self, x: np.ndarray, prepared: Prepared, out: np.ndarray, workers: int | None) -> None:
        """Fill `out` with a prepared kernel."""
        _pins = pinned(x, out) if self._conversions.any else ()
        with self._explained:
            x = self._conversions.convert_x(x)
            if self._arrangement is not None:
                x = self._arrangement.input_view(x)
            self._fill(out, lambda result: prepared.run(x, result, workers))


_plans = Table()
_entries = _plans.entries  # `_plans.get`, inlined: 2 % of a small call


def find(
    name,
    x_dtype,
    x_shape,
    kernel_dtype,
    kernel_shape,
    mode,
    axes,
    boundary,
    fill_value,
    method,
    flip,
    guarantee: int = FOOTPRINT,
    steps: Steps | None = None,
) -> Plan:
    """Return the cached plan of these types, shapes and options, or make it; errors call the input `name`.

    A kernel of more dimensions than `axes` has those of the input, and is broadcast with it along all others.
    """
    cacheable = True
    if not (type(mode) is type(boundary) is type(method) is str):
        mode, boundary, method = as_choices(mode, boundary, method, len(axes))
    if "fill" in boundary:
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        dtype = np.result_type(x_dtype, kernel_dtype)
        fill_value = as_fill_value(fill_value, dtype)
        # Equal objects may differ in type (a Fraction, a float); and no NaN equals another.
        cacheable = dtype.kind != "O" and (fill_value == fill_value or fill_value is math.nan)
    elif type(fill_value) is not int or fill_value != 0:
        check_no_fill_value(fill_value)
        fill_value = 0
    key = x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip, guarantee, steps
    entry = _entries.get(key) if cacheable else None
    if entry is not None:
        entry.used = True
        return entry.value
    found = Plan(Request(*key), name)
    if cacheable and found.dtype.kind != "O":  # those of objects use the name when they run
        _plans.keep(key, found)
    return found
