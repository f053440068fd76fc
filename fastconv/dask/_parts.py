"""Parts of a convolution: what the tasks of a graph run, described by small objects that can be pickled.

A part takes the samples that its results depend on. The method is decided for the whole array, so that results of
'direct' and 'separable' do not depend on chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastconv._model.missing_data import Missing
from fastconv._model.separability import Separable
from fastconv._model.steps import Steps, usual_steps
from fastconv._planning.missing import missing_calls, missing_plans
from fastconv._planning.sweeps import Sweep
from fastconv._runtime import cpu_limits
from fastconv._runtime.interruptible_numpy import converted
from fastconv.image._filter import How, filtered
from fastconv.image._options import Options
from fastconv.image._source import Source
from fastconv.planning import ConvolutionPlan, PartPlan

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Taps:
    """The kernel of all parts; its dtype is kept beside it, since pickles of arrays lose the byte order."""

    kernel: np.ndarray | Separable
    dtype: np.dtype

    @classmethod
    def of(cls, kernel: np.ndarray | Separable) -> Taps:
        return cls(kernel, kernel.dtype)


class Part(Protocol):
    """Computes the results of one chunk."""

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> Any: ...


class Work(Protocol):
    """A convolution of a whole array, checked, of which parts are made.

    Attributes
    ----------
    sweeps
        The convolved axes; None if the result cannot be computed in parts.
    own_axes
        The axes along which each line has its own kernel.
    shares
        The dtype of the known shares if they are returned, too.
    """

    taps: Taps
    shape: tuple[int, ...]
    dtype: np.dtype
    sweeps: tuple[Sweep, ...] | None
    own_axes: frozenset[int]
    shares: np.dtype | None

    def part(self, x_shape: tuple[int, ...], spans: Spans, where: tuple[slice, ...]) -> Part:
        """The part that has the results `where`, and takes an array of this shape; spans are those of `Steps`."""
        ...


class Plain:
    """A convolution without missing samples."""

    shares: np.dtype | None = None

    def __init__(self, plan: ConvolutionPlan, kernel: np.ndarray):
        self._plan, self.taps, self._kernel_shape = plan, Taps.of(kernel), kernel.shape
        self.shape, self.dtype = plan.out_shape, plan.dtype
        self.sweeps: tuple[Sweep, ...] | None = plan.sweeps if plan.takes_spans else None
        axes = {sweep.axis for sweep in plan.sweeps}
        aligned = kernel.ndim > len(axes)
        own = (axis for axis, extent in enumerate(kernel.shape) if aligned and extent > 1 and axis not in axes)
        self.own_axes = frozenset(own)

    def part(self, x_shape: tuple[int, ...], spans: Spans, where: tuple[slice, ...]) -> Part:
        if self.sweeps is None:
            return _WholePart(self._plan)
        found = self._plan.part(x_shape, spans)
        if not self.own_axes:
            return _PlainPart(found.options, found.decision, None)
        within = tuple(where[axis] if axis in self.own_axes else slice(None) for axis in range(len(where)))
        return _PlainPart(found.options, found.decision, within)


@dataclass(frozen=True, slots=True)
class _WholePart:
    plan: ConvolutionPlan

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        return self.plan(x)


@dataclass(frozen=True, slots=True)
class _PlainPart:
    options: tuple
    decision: tuple
    kernels: tuple[slice, ...] | None  # the part of the kernel, where lines have their own

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        assert isinstance(taps.kernel, np.ndarray)
        kernel = taps.kernel if self.kernels is None else taps.kernel[self.kernels]
        return PartPlan(kernel, taps.dtype, self.options, self.decision).made()(x)


class Filtered:
    """A filter of pixels; `source` has the shape and the options of the whole picture, and no pixels."""

    own_axes: frozenset[int] = frozenset()

    def __init__(
        self, source: Source, kernel: np.ndarray | Separable, how: dict[str, Any], level: Separable | None = None
    ):
        self._source, self._how, self.taps = source, {**how, "level": level}, Taps.of(kernel)
        shown = How.of(source, kernel, **how)
        found = source.plan(kernel, shown.dtype, **shown.options)
        self.shares: np.dtype | None = None
        if isinstance(found, missing_plans.MissingPlan):
            self._decided: Any = found.methods
            self.shares = found.shares_dtype if source.options.return_weight else None
        else:
            self._decided = found.decided
        self.sweeps: tuple[Sweep, ...] | None = tuple(found.sweeps)
        self.shape, options = found.shape, source.options
        self.dtype = options.dtype or (source.dtype if source.given.dtype.kind == "b" else source.given.dtype)

    def part(self, x_shape: tuple[int, ...], spans: Spans, where: tuple[slice, ...]) -> Part:
        options = self._source.options._replace(weights=None)
        return _FilteredPart(
            tuple(options),
            len(self._source.axes),
            self._how,
            spans,
            self._decided,
            self.dtype,
            self.shares is not None,
        )


@dataclass(frozen=True, slots=True)
class _FilteredPart:
    options: tuple
    axes: int
    how: dict[str, Any]
    spans: Spans
    decided: Any
    dtype: np.dtype
    returns_weight: bool

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> Any:
        options = Options(*self.options)._replace(weights=weights)
        source = Source.open(x, options, self.axes)._replace(spans=self.spans, decided=self.decided)
        found = filtered(source, taps.kernel, **self.how)
        if not self.returns_weight:
            return found.astype(self.dtype, copy=False)
        return found[0].astype(self.dtype, copy=False), found[1]


class Known:
    """A convolution of samples of which some may be missing."""

    own_axes: frozenset[int] = frozenset()

    def __init__(
        self, plan: missing_plans.MissingPlan, kernel: np.ndarray, workers: int, returns_weight: bool, masked: bool
    ):
        self._plan, self._workers, self._masked, self.taps = plan, workers, masked, Taps.of(kernel)
        self.shape, self.dtype = plan.shape, plan.dtype
        self.sweeps: tuple[Sweep, ...] | None = plan.sweeps
        self.shares: np.dtype | None = plan.shares_dtype if returns_weight else None

    def part(self, x_shape: tuple[int, ...], spans: Spans, where: tuple[slice, ...]) -> Part:
        given = self._plan.request
        steps = (given.steps or usual_steps(len(spans))).of_spans(spans)
        request = given._replace(x_shape=x_shape, steps=steps)
        returns = self.shares is not None
        return _KnownPart(tuple(request), self._plan.methods, self._workers, returns, self._masked)


@dataclass(frozen=True, slots=True)
class _KnownPart:
    request: tuple
    methods: missing_plans.Methods
    workers: int
    returns_weight: bool
    masked: bool

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> Any:
        request = missing_plans.Request(*self.request)
        steps = None if request.steps is None else Steps(*request.steps)
        request = request._replace(missing=Missing(*request.missing), steps=steps)
        assert isinstance(taps.kernel, np.ndarray)
        plan = missing_plans.find(request, taps.kernel.astype(taps.dtype, copy=False), self.methods)
        samples, known, _ = missing_calls.unmasked(x, request.name)
        samples = _as_type(samples, request.x_dtype)
        if weights is not None:
            weights = missing_calls.as_weights(weights, samples.shape, plan.dtype)
        options = weights, self.masked, None, self.returns_weight, self.workers
        return missing_calls.run(plan, samples, known, *options)


def _as_type(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Samples in the byte order of a plan; pickles of arrays lose it."""
    return x if x.dtype == dtype else converted(x, dtype)


class Local:
    """A function whose results depend on the samples `before` and `after` theirs along each axis, within boundaries.

    It takes an array, the kernel if there is one, and options, and returns an array of the same shape.
    """

    own_axes: frozenset[int] = frozenset()
    shares: np.dtype | None = None

    def __init__(
        self,
        function: Callable[..., np.ndarray],
        x_shape: tuple[int, ...],
        dtype: np.dtype,
        reach: list[tuple[int, int]],
        boundaries: list[int],
        kernel: np.ndarray | None,
        options: dict[str, Any],
    ):
        self._function, self._options, self._has_kernel = function, options, kernel is not None
        self._after = [after for _, after in reach]
        self.shape, self.dtype, self.taps = x_shape, dtype, Taps.of(np.empty(0) if kernel is None else kernel)
        self.sweeps: tuple[Sweep, ...] | None = tuple(
            Sweep(axis, extent, before + after + 1, extent, after, boundary=boundary)
            for axis, (extent, (before, after), boundary) in enumerate(zip(x_shape, reach, boundaries))
        )

    def part(self, x_shape: tuple[int, ...], spans: Spans, where: tuple[slice, ...]) -> Part:
        firsts = ((start - after) % extent for (_, start), after, extent in zip(spans, self._after, x_shape))
        within = tuple(slice(first, first + outputs) for first, (outputs, _) in zip(firsts, spans))
        return _LocalPart(self._function, self._options, self._has_kernel, within)


@dataclass(frozen=True, slots=True)
class _LocalPart:
    function: Callable[..., np.ndarray]
    options: dict[str, Any]
    has_kernel: bool
    within: tuple[slice, ...]

    def __call__(self, taps: Taps, x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        kernels = (taps.kernel,) if self.has_kernel else ()
        with cpu_limits.limited_to(1):
            return self.function(x, *kernels, **self.options)[self.within]
