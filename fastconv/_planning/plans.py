"""Plans: the arguments of a convolution checked, and made a problem for an engine, before there are any arrays.

A plan depends on types, shapes and options alone. Plans are cached, so that a second call like the first finds one.
"""

from __future__ import annotations

import contextlib
import math
from typing import Iterator, NamedTuple

import numpy as np

from fastconv._model.arguments import as_axes, as_choices, as_fill_value, check_no_fill_value
from fastconv._model.checks import check_kernel_size, check_method, check_operands, check_result_size
from fastconv._model.geometry import BOUNDARIES, ZERO, span
from fastconv._model.guarantees import FOOTPRINT, in_words
from fastconv._model.message_formatting import clipped
from fastconv._model.problem import Problem
from fastconv._planning.method_choice import Choice, Decision, Prepared
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import Table, size_of
from fastconv._runtime.interruptible_numpy import converted, copy

_SINGLE = np.dtype(np.float32)


class _Conversions(NamedTuple):
    """Conversion of both arrays to the types that an engine takes."""

    x: np.dtype | None  # None for none
    kernel: np.dtype | None
    conjugate: bool  # the kernel, for a correlation
    half: bool  # compute in single precision, and round the result

    @classmethod
    def of(cls, x: np.dtype, kernel: np.dtype, result: np.dtype, fill_value, flip: bool) -> _Conversions:
        x_as, kernel_as = (_SINGLE if _is_half(dtype) else None for dtype in (x, kernel))
        if result.kind == "c" and x.kind != "c" and fill_value.imag != 0:
            x_as = result  # a complex fill value makes a real input complex
        return cls(x_as, kernel_as, not flip and kernel.kind in "cO", _is_half(result))

    @property
    def any(self) -> bool:
        return bool(self.x or self.kernel or self.conjugate or self.half)

    def convert_x(self, x: np.ndarray) -> np.ndarray:
        return converted(x, self.x) if self.x else x

    def convert_kernel(self, kernel: np.ndarray) -> np.ndarray:
        if self.conjugate:
            kernel = np.conj(kernel)
        return converted(kernel, self.kernel) if self.kernel else kernel


def _is_half(dtype: np.dtype) -> bool:
    return dtype.char == "e"


def _with_extents(shape, axes, extents) -> tuple[int, ...]:
    """`shape`, with other extents along `axes`."""
    changed = list(shape)
    for axis, extent in zip(axes, extents):
        changed[axis] = extent
    return tuple(changed)


def check_valid(x_shape, axes, kernel_shape) -> None:
    """Refuse mode 'valid' where neither array fits into the other."""
    extents = tuple(x_shape[axis] for axis in axes)
    larger = [extent - taps for extent, taps in zip(extents, kernel_shape)]
    if len(axes) == 2 and min(larger) < 0 < max(larger):
        raise ValueError(
            "in mode 'valid' one of image and kernel must be at least as large as the other along both axes; "
            f"got {extents} and {kernel_shape}"
        )


class Plan:
    """A convolution ready to run.

    Attributes
    ----------
    shape, dtype
        Of the result.
    """

    def __init__(
        self,
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
        name: str = "x",
        decision: Decision | None = None,
    ):
        self._name = name
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        as_choices(mode, boundary, method)
        self._axes = as_axes(axes, len(kernel_shape), len(x_shape), "axis" if len(kernel_shape) == 1 else "axes")
        if mode == "valid":
            check_valid(x_shape, self._axes, kernel_shape)
        self.dtype = np.result_type(x_dtype, kernel_dtype)
        check_method(method, kernel_dtype, kernel_shape, self.dtype)
        spans = [span(mode, x_shape[axis], extent) for axis, extent in zip(self._axes, kernel_shape)]
        self.shape = _with_extents(x_shape, self._axes, [length for length, _ in spans])
        check_result_size(name, self.shape, self.dtype)
        check_kernel_size(kernel_shape, kernel_dtype)

        code = ZERO if mode == "valid" else BOUNDARIES.index(boundary)
        # Convolution commutes where nothing is outside; the engines want the short array as the kernel.
        shorter = math.prod(x_shape) < math.prod(kernel_shape)
        self._swap = shorter and code == ZERO and len(self._axes) == len(x_shape) and method != "separable"
        self._flip_kernel = self._swap and not flip
        fill = fill_value if boundary == "fill" else 0
        self._conversions = _Conversions.of(x_dtype, kernel_dtype, self.dtype, fill, flip)
        self._problem = self._as_problem(
            x_dtype, x_shape, kernel_dtype, kernel_shape, tuple(start for _, start in spans), flip, code, fill_value
        )._replace(guarantee=guarantee)
        self._choice = Choice(self._problem, method, decision)
        self._engine = self._choice.only
        changed = self._swap or self._conversions.any
        self._plain = not changed and self.dtype.kind != "O" and self._engine is not None
        self._looks = self._choice.looks

    def _as_problem(
        self, x_dtype, x_shape, kernel_dtype, kernel_shape, starts, flip, boundary: int, fill_value
    ) -> Problem:
        """The problem that an engine gets, after conversions and with the arrays swapped if they are to be."""
        x_dtype, kernel_dtype = self._conversions.x or x_dtype, self._conversions.kernel or kernel_dtype
        if self._conversions.conjugate:
            kernel_dtype = kernel_dtype.newbyteorder("=")  # as all results of NumPy
        axes = self._axes
        if self._swap:
            extents = tuple(x_shape[axis] for axis in axes)
            x_dtype, kernel_dtype = kernel_dtype, x_dtype
            x_shape, kernel_shape = _with_extents(x_shape, axes, kernel_shape), extents
        sums = _SINGLE if self._conversions.half else self.dtype
        return Problem(
            x_dtype=x_dtype,
            kernel_dtype=kernel_dtype,
            sums=sums,
            dtype=sums,
            x_shape=x_shape,
            kernel_shape=kernel_shape,
            out_shape=self.shape,
            axes=axes,
            starts=starts,
            flip=flip or self._flip_kernel,
            boundaries=(boundary,) * len(axes),
            fill_value=fill_value,
            looks_outside=any(
                start < extent - 1 or start + self.shape[axis] > x_shape[axis]
                for axis, extent, start in zip(axes, kernel_shape, starts)
            ),
        )

    def __call__(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, which shares no memory with `x` and `kernel`."""
        ready = self._plain and not (self._looks and self._choice.may_trim(x, kernel))
        if ready and self._engine(x, kernel, out, workers):
            return
        with self._explained():
            self._convert_and_compute(x, kernel, out, workers)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Blame the arguments for operations that Python objects do not support."""
        try:
            yield
        except (TypeError, AttributeError, OverflowError) as error:
            if self.dtype.kind != "O":
                raise
            message = f"{self._name} and kernel must hold objects that can be multiplied and added; {clipped(error)}"
            raise (ValueError if isinstance(error, OverflowError) else TypeError)(message) from error

    def _convert_and_compute(self, x, kernel, out, workers):
        _pins = pinned(x, kernel, out)
        x, kernel = self._conversions.convert_x(x), self._conversions.convert_kernel(kernel)
        if self._swap:
            if self._flip_kernel:
                kernel = np.flip(kernel)
            if len(self._axes) == 2 and self._axes[0] > self._axes[1]:
                x, kernel = kernel.T, x.T
            else:
                x, kernel = kernel, x
        self._fill(out, lambda result: self._choice.run(self._engine, x, kernel, result, workers))

    def _fill(self, out, compute):
        """Have `out` computed, in single precision if it is of half."""
        if not self._conversions.half:
            compute(out)
            return
        single = np.empty(self.shape, _SINGLE)
        compute(single)
        copy(out, single)

    @property
    def costs(self) -> dict[str, float]:
        """Estimated nanoseconds on one core by method; none where NumPy computes, or `x` is the engine's kernel."""
        return {} if self._swap else self._choice.costs

    def cost(self, kernel: np.ndarray) -> float:
        """Estimated nanoseconds on one core with a kernel; it is prepared for that."""
        return self._choice.prepare_cached(self._conversions.convert_kernel(kernel)).cost

    @property
    def nbytes(self) -> int:
        return size_of(self._engine)

    @property
    def fill_value(self):
        return self._problem.fill_value

    def decision(self, prepared: Prepared | None) -> Decision:
        """The decision for a kernel that `prepare` returned."""
        return self._choice.decision(prepared)

    @property
    def method(self) -> str:
        """The method for most kernels."""
        return self._choice.usual

    def error_bound(self, method: str) -> str:
        """What is guaranteed of the error of each result by a method, in words."""
        return in_words(self._problem, method)

    @property
    def reason(self) -> str:
        return self._choice.reason(self.method)

    def compile_all(self) -> None:
        """Compile all that convolutions of these types need along as many axes, whatever their sizes and the kernel."""
        self._choice.compile_all()

    def prepare(self, kernel: np.ndarray) -> Prepared | None:
        """Prepare a kernel for `run`; None if the arrays are swapped, so that an engine's kernel is `x`."""
        with self._explained():
            return None if self._swap else self._choice.prepare(self._conversions.convert_kernel(kernel))

    def run(self, x: np.ndarray, prepared: Prepared, out: np.ndarray, workers: int | None) -> None:
        """Fill `out` with a prepared kernel."""
        _pins = pinned(x, out) if self._conversions.any else ()
        with self._explained():
            x = self._conversions.convert_x(x)
            self._fill(out, lambda result: prepared.run(x, result, workers))


_plans = Table()


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
) -> Plan:
    """Return the cached plan of these types, shapes and options, or make it; errors call the input `name`."""
    cacheable = True
    if not (type(mode) is type(boundary) is type(method) is str):
        mode, boundary, method = as_choices(mode, boundary, method)
    if boundary == "fill":
        check_operands(name, x_dtype, x_shape, kernel_dtype, kernel_shape)
        dtype = np.result_type(x_dtype, kernel_dtype)
        fill_value = as_fill_value(fill_value, dtype)
        # Equal objects may differ in type (a Fraction, a float); and no NaN equals another.
        cacheable = dtype.kind != "O" and (fill_value == fill_value or fill_value is math.nan)
    elif type(fill_value) is not int or fill_value != 0:
        check_no_fill_value(fill_value)
        fill_value = 0
    key = x_dtype, x_shape, kernel_dtype, kernel_shape, mode, axes, boundary, fill_value, method, flip, guarantee
    found = _plans.get(key) if cacheable else None
    if found is None:
        found = Plan(*key, name)
        if cacheable and found.dtype.kind != "O":  # those of objects use the name when they run
            _plans.keep(key, found)
    return found
