"""Which engine computes a problem, for the kernel in hand.

The cheapest by the estimates of `cost_model`, among those that give the direct engine's result up to rounding. What the
kernel holds matters twice: it may be an outer product, and it may have zeros around it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import TapwiseEngine
from fastconv._model.checks import not_separable
from fastconv._model.geometry import FILL
from fastconv._model.problem import Problem
from fastconv._planning import cost_model, engine_loader
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.chunks import is_finite
from fastconv._runtime.cpu_limits import check_variable
from fastconv._runtime.result_cache import kept, size_of


class Prepared(NamedTuple):
    """A kernel ready for its engine: its spectrum, its factors, or itself."""

    choice: Choice
    method: str
    engine: Any
    kernel: Any
    taps: np.ndarray  # the kernel as it was
    inner: Prepared | None  # without the zeros around it, for input that is finite

    @property
    def nbytes(self) -> int:
        return self.taps.nbytes + sum(map(size_of, (self.engine, self.kernel, self.inner)))

    @property
    def cost(self) -> float:
        """Nanoseconds on one core, estimated."""
        return self.inner.cost if self.inner is not None else self.choice.costs.get(self.method, 0.0)

    def run(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`."""
        _pins = pinned(x, out)
        if self.inner is not None and is_finite(x):
            self.inner.run(x, out, workers)
        elif self.engine is None:  # what was to be left out counts after all: a zero times an infinity is a NaN
            self.choice.kept(self.taps, whole=True).run(x, out, workers)
        elif not self.engine.run(x, self.kernel, out, workers):
            TapwiseEngine(self.choice.problem)(x, self.taps, out)

    def __str__(self) -> str:
        if self.inner is not None:
            rows = "x".join(map(str, self.inner.taps.shape))
            return f"{self.inner}, without the zeros around {rows} taps"
        return self.choice.reason(self.method)


class Decision(NamedTuple):
    """What was decided for a kernel, for the same plan elsewhere: estimates may differ there."""

    order: tuple[str, ...]
    trims: bool
    inner: tuple[str, ...] | None  # the order for the kernel without the zeros around it; None where that is open


class Choice:
    """Which engine computes one problem.

    Attributes
    ----------
    only
        The engine, where it does not depend on what the kernel holds (the direct one, or NumPy); else None.
    """

    def __init__(self, problem: Problem, method: str, decision: Decision | None = None):
        check_variable()  # every first call of its kind makes a choice, also one that starts no threads
        self.problem = problem
        self._method = method
        # When the interpreter is on its way out, in a `__del__`, nothing can be imported or compiled any more.
        self._compiled = not sys.is_finalizing() and engine_loader.load().layout.supports(problem.sums)
        self.costs: dict[str, float] = {}
        self._trims = False
        if method == "auto" and self._compiled:
            direct = self.costs["direct"] = cost_model.direct(problem)
            if direct > _WORTH_A_LOOK:
                finite = problem.boundary != FILL or bool(np.isfinite(problem.fill_value))
                self._trims = finite and direct > _WORTH_TRIMMING
                engines = engine_loader.load()
                if engines.separable.supports(problem) and _is_as_fine(problem):
                    self.costs["separable"] = cost_model.separable(problem)
                if engines.spectral.supports(problem):
                    self.costs["fft"] = engines.spectral.estimate(problem)
        self._order = sorted(self.costs, key=self.costs.__getitem__)
        if not self._order:
            # A kernel that no tile can hold has no spectrum; and only direct takes every type.
            able = self._compiled and (method != "fft" or engine_loader.load().spectral.supports(problem))
            self._order = [method if able and method != "auto" else "direct"]
        self._inner: tuple[str, ...] | None = None
        if decision is not None and self._compiled:
            self._order, self._trims, self._inner = [*decision.order], decision.trims, decision.inner

    @property
    def only(self) -> Any:
        # Made when it is asked for: an engine compiles what it needs, and estimates alone need none.
        return self._engine("direct") if not self._trims and self._order[0] == "direct" else None

    def compile_all(self) -> None:
        """Compile what problems of these types and axes need, whatever their sizes and the kernel."""
        if not self._compiled:
            return
        engines = engine_loader.load()
        self._engine("direct")
        if engines.separable.supports(self.problem):
            self._engine("separable")
        if engines.spectral.supports(self.problem):
            self._engine("fft")
            engines.spectral.compile_all(self.problem)

    def prepare(self, kernel: np.ndarray) -> Prepared:
        """The kernel, ready for the cheapest engine that can take it."""
        if self._trims:
            inner = self._without_zeros(kernel)
            if inner is not None:
                return Prepared(self, inner.method, None, None, kernel.copy(), inner)
        return self.prepare_whole(kernel)

    def prepare_whole(self, kernel: np.ndarray) -> Prepared:
        """The same, with the zeros around it."""
        for method in self._order:
            engine = self._engine(method)
            prepared = engine.prepare(kernel)
            if prepared is not None:
                return Prepared(self, method, engine, prepared, kernel, None)
        raise not_separable()

    def kept(self, kernel: np.ndarray, whole: bool = False) -> Prepared:
        """As `prepare`, or `prepare_whole`, but what was made of a small kernel is kept: most calls have one again."""
        if kernel.nbytes > LARGEST_KEPT:
            return self.prepare_whole(kernel) if whole else self.prepare(kernel)
        return _prepared(self, kernel.dtype, kernel.shape, kernel.tobytes(), whole)

    def decision(self, prepared: Prepared | None) -> Decision:
        """What was decided for a kernel; None for kernels that differ from call to call."""
        if prepared is None:
            return Decision(tuple(self._order), self._trims, None)
        inner = prepared.inner
        return Decision(tuple(self._order), inner is not None, None if inner is None else tuple(inner.choice._order))

    @property
    def usual(self) -> str:
        """The method for a kernel that has neither factors nor zeros around it."""
        return next(method for method in self._order if method != "separable" or self._method == method)

    def cheapest(self) -> float:
        """Nanoseconds, whatever the kernel holds."""
        return min((cost for method, cost in self.costs.items() if method != "separable"), default=0.0)

    def reason(self, method: str) -> str:
        """Why this method, in words."""
        if self._method == method:
            return f"{method}, as asked for"
        if self._compiled and self._method == "fft":
            return f"{method}, since the kernel is too large for any tile"
        if not self._compiled:
            return f"direct, tap by tap in NumPy: no compiled engine takes {self.problem.dtype}"
        # Where the kernel has no factors, what they would have saved is of no interest.
        possible = [name for name in self._order if name in (method, "direct", "fft") and name in self.costs]
        words = [f"{name} {_milliseconds(self.costs[name])}" for name in possible]
        return f"{method} (estimates for one core: {', '.join(words)})"

    def _without_zeros(self, kernel: np.ndarray) -> Prepared | None:
        """Prepared without the zeros around it, if there are any, and that pays."""
        spans = _span_of_taps(kernel)
        if spans is None:
            return None
        problem = self.problem
        starts = tuple(
            start - (first if problem.flip else extent - last)
            for start, (first, last), extent in zip(problem.starts, spans, kernel.shape)
        )
        within = tuple(slice(*span) for span in spans)
        trimmed = problem._replace(kernel_shape=kernel[within].shape, starts=starts)
        if self._inner is not None:
            return Choice(trimmed, "auto", Decision(self._inner, False, None)).prepare_whole(kernel[within].copy())
        inner = choice(trimmed, "auto")
        if inner.cheapest() + cost_model.look_for_infinities(problem) > self.cheapest():
            return None
        return inner.prepare_whole(kernel[within].copy())  # a view would keep the zeros as well

    def _engine(self, method: str) -> Any:
        if not self._compiled or sys.is_finalizing():
            return TapwiseEngine(self.problem)
        return engine(self.problem, method)


@kept
def engine(problem: Problem, method: str) -> Any:
    """The compiled engine for a problem."""
    engines = engine_loader.load()
    if method == "fft":
        return engines.spectral.SpectralEngine(problem)
    if method == "direct":
        return engines.direct.DirectEngine(problem)
    if problem.from_pixels:
        return engines.picture_separable.PictureEngine(problem)
    return engines.separable.SeparableEngine(problem)


def _is_as_fine(problem: Problem) -> bool:
    """Whether factors that are a kernel's to within its own rounding are so to within that of the result."""
    kernel = problem.kernel_dtype
    return kernel.kind != "f" or np.finfo(kernel).eps <= np.finfo(problem.sums).eps


# Nanoseconds of the direct engine below which there is little to gain. To look at a kernel takes some of them, and a
# hundred thousand where it has factors, but once.
_WORTH_A_LOOK = 15_000.0
# The same for the zeros around it: to find a kernel that has been seen takes four thousand.
_WORTH_TRIMMING = 100_000.0


# Bytes of a kernel to keep. To compare some thousands takes a microsecond, to find factors or a spectrum a hundred.
LARGEST_KEPT = 1 << 17


@kept
def _prepared(choice: Choice, dtype: np.dtype, shape: tuple[int, ...], content: bytes, whole: bool) -> Prepared:
    kernel = np.frombuffer(content, dtype).reshape(shape)
    return choice.prepare_whole(kernel) if whole else choice.prepare(kernel)


@kept
def choice(problem: Problem, method: str) -> Choice:
    """The `Choice` of a problem; they are kept."""
    return Choice(problem, method)


def _span_of_taps(kernel: np.ndarray) -> list[tuple[int, int]] | None:
    """From the first to the last tap that is not zero, along each axis; None if there are no zeros around them."""
    edges = [kernel[(slice(None),) * axis + (index,)] for axis in range(kernel.ndim) for index in (0, -1)]
    if all(edge.any() for edge in edges):
        return None
    spans = []
    for axis in range(kernel.ndim):
        others = tuple(other for other in range(kernel.ndim) if other != axis)
        places = np.flatnonzero((kernel != 0).any(axis=others))
        if not places.size:
            return [(0, 1)] * kernel.ndim  # nothing but zeros
        spans.append((int(places[0]), int(places[-1]) + 1))
    return spans


def _milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.3g} ms"
