"""The choice of an engine for a problem and a kernel.

The cheapest by the estimates of `cost_model` among those that give the direct engine's result up to rounding. The
kernel's values matter twice: it may be an outer product, and it may have zeros around it. So may the input.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines import cost_model
from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._model.checks import not_separable
from fastconv._model.guarantees import PARTLY
from fastconv._model.problem import Problem
from fastconv._model.separability import Separable, as_taps, has_underflowed, is_clearly_inseparable
from fastconv._planning import engine_loader, zero_trimming
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept, size_of
from fastconv._runtime.cpu_limits import check_variable
from fastconv._runtime.instrumentation import listeners, notify, overrides
from fastconv._runtime.interruptible_numpy import is_finite

# Methods for kernels that are outer products.
OF_FACTORS = "separable", PARTLY


def _run(engine: Any, problem: Problem, x, prepared, kernel, out, workers: int | None) -> None:
    """Run an engine, and NumPy's where that cannot compute: a kernel that is not finite, with zeros outside."""
    if not engine.run(x, prepared, out, workers):
        NumpyEngine(problem)(x, as_taps(kernel, problem.kernel_dtype), out)


class Prepared(NamedTuple):
    """A kernel ready for its engine: its spectrum, its factors, or the kernel itself."""

    choice: Choice
    method: str
    engine: Any
    kernel: Any
    taps: np.ndarray | Separable  # the original kernel
    inner: Prepared | None  # without the zeros around it, for input that is finite

    @property
    def nbytes(self) -> int:
        return self.taps.nbytes + sum(map(size_of, (self.engine, self.kernel, self.inner)))

    @property
    def cost(self) -> float:
        """Estimated nanoseconds on one core."""
        return self.inner.cost if self.inner is not None else self.choice.costs.get(self.method, 0.0)

    @property
    def kind(self) -> str:
        """The method by the name that callers give it."""
        return "separable" if self.method == PARTLY else self.method

    @property
    def looks(self) -> bool:
        """Whether zeros around the input are looked for."""
        return self.method in self.choice.trims_input

    def run(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`."""
        # The direct engine pins them itself.
        _pins = () if self.engine is not None and self.method == "direct" and not self.looks else pinned(x, out)
        if self.inner is not None and is_finite(x):
            if listeners:
                notify("trimmed", problem=self.inner.choice.problem)
            self.inner.run(x, out, workers)
        elif self.engine is None:  # the zeros around the kernel count: a zero times an infinity is a NaN
            self.choice.prepare_cached(self.taps, whole=True).run(x, out, workers)
        elif not (self.looks and self._run_without_zeros(x, out, workers)):
            _run(self.engine, self.choice.problem, x, self.kernel, self.taps, out, workers)

    def _run_without_zeros(self, x: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out` without the zeros around the input, by the same method; return False if that does not pay."""
        whole = self.choice.problem
        part = None if sys.is_finalizing() else zero_trimming.without_zeros(whole, x)
        if part is None or not part.is_worthwhile(whole, self.method) or not _is_finite(self.taps):
            return False
        if listeners:
            notify("trim_input", problem=part.problem)
        zero_trimming.clear_around(out, part.outputs)
        if part.problem is not None:
            problem = part.problem._replace(roles=self.choice.roles)  # sums in the same order
            if self.method == "fft":  # a spectrum depends on the size of the input
                prepared = choice(problem, "fft").prepare_cached(self.taps, whole=True)
                found, kernel = prepared.engine, prepared.kernel
            elif self.method in OF_FACTORS and not whole.is_plain:  # and so may the axes that are summed together
                found, taps = engine(problem, self.method), as_taps(self.taps, whole.kernel_dtype)
                kernel = found.prepare(self.taps if self.method == "separable" else taps)
                if kernel is None:
                    found, kernel = engine(problem, "direct"), taps
            else:
                found, kernel = engine(problem, self.method), self.kernel
            _run(found, problem, x[part.samples], kernel, self.taps, out[part.outputs], workers)
        return True

    def __str__(self) -> str:
        if self.inner is not None:
            rows = "x".join(map(str, self.inner.taps.shape))
            return f"{self.inner}, without the zeros around {rows} taps"
        return self.choice.reason(self.method)


class Decision(NamedTuple):
    """The decision for a kernel, to restore the same plan on a machine where estimates differ."""

    order: tuple[str, ...]
    trims: bool
    inner: tuple[str, ...] | None  # the order for the kernel without the zeros around it; None where that is open
    roles: tuple | None = None  # as in `Problem`


class Choice:
    """Which engine computes one problem.

    Attributes
    ----------
    method
        The method that was asked for.
    only
        The engine for arrays without zeros around, if it does not depend on the kernel (direct or NumPy); else None.
    trims_input
        The methods for which zeros around the input are looked for.
    """

    def __init__(self, problem: Problem, method: str, decision: Decision | None = None):
        check_variable()  # every first call of its kind makes a choice, also one that starts no threads
        if decision is not None and decision.roles is not None:
            problem = problem._replace(roles=decision.roles)
        self.problem = problem
        self.method = method
        # During finalization, in a `__del__`, nothing can be imported or compiled any more.
        self._compiled = not sys.is_finalizing() and _is_compiled(problem)
        self.costs: dict[str, float] = {}
        able = self._compiled and method in ("auto", "direct")
        self._trims = able and self._estimate()
        self.trims_input = zero_trimming.methods_that_trim(problem) if able and not problem.kernels else frozenset()
        if overrides.method in self.costs:
            self.costs[overrides.method] = 0.0
        self._order = sorted(self.costs, key=self.costs.__getitem__) or [method if self.takes(method) else "direct"]
        self._inner: tuple[str, ...] | None = None
        if decision is not None and self._compiled:
            self._order, self._trims, self._inner = [*decision.order], decision.trims, decision.inner

    def _estimate(self) -> bool:
        """Estimate all methods worth a look; return whether to trim zeros around kernels."""
        problem, engines = self.problem, engine_loader.load()
        finite = not problem.fills or bool(np.isfinite(problem.fill_value))
        if not problem.is_plain:
            self._estimate_volume()
            return finite and not problem.kernels and self.costs["direct"] > cost_model.WORTH_TRIMMING
        direct = self.costs["direct"] = cost_model.direct(problem)
        if direct <= cost_model.WORTH_A_LOOK:
            return False
        if self.method == "auto":
            if engines.separable.supports(problem) and factors_are_precise(problem):
                self.costs["separable"] = cost_model.separable(problem)
            if engines.overlap_save.supports(problem):
                self.costs["fft"] = min(_estimates_of_spectra(problem))
        return finite and direct > cost_model.WORTH_TRIMMING

    def _estimate_volume(self) -> None:
        """Estimate the methods of a problem that is not plain."""
        problem, engines = self.problem, engine_loader.load()
        direct = self.costs["direct"] = engines.plane_engine.estimate(problem)
        if self.method == "auto" and direct > cost_model.WORTH_A_LOOK:
            if engines.separable_volume.supports(problem) and factors_are_precise(problem):
                self.costs["separable"] = engines.separable_volume.estimate(problem)
            if engines.partly_separable.supports(problem) and factors_are_precise(problem):
                self.costs[PARTLY] = engines.partly_separable.estimate(problem)
            if engines.volume_overlap_save.supports(problem):
                self.costs["fft"] = engines.volume_overlap_save.estimate(problem)

    def takes(self, method: str) -> bool:
        """Whether a compiled engine takes the problem by this method; overlap-save needs a tile for the kernel."""
        if not self._compiled or method == "auto":
            return False
        if not self.problem.is_plain:
            engines = engine_loader.load()
            volumes = {"separable": engines.separable_volume, "fft": engines.volume_overlap_save}
            return method == "direct" or volumes[method].supports(self.problem)
        return method != "fft" or engine_loader.load().overlap_save.supports(self.problem)

    @property
    def only(self) -> Any:
        # Made on demand: an engine compiles its routines, and estimates alone need none.
        return self._engine("direct") if self._order[0] == "direct" else None

    @property
    def looks(self) -> bool:
        """Whether zeros around the kernel or the input are looked for."""
        return self._trims or bool(self.trims_input)

    def may_trim(self, x: np.ndarray, kernel: np.ndarray) -> bool:
        """Look at a few elements; False if they show that there are no zeros around, or too few."""
        if self._trims and zero_trimming.may_have_zeros_around(kernel, tuple(range(kernel.ndim))):
            return True
        return bool(self.trims_input) and zero_trimming.may_have_zeros_around(x, self.problem.axes, zero_trimming.LEAST)

    def compile_all(self) -> None:
        """Compile all that problems of these types and axes need, whatever their sizes and the kernel."""
        if not self._compiled:
            return
        engines = engine_loader.load()
        if not self.problem.is_plain:
            engines.plane_engine.compile_all(self.problem)
            if engines.separable_volume.supports(self.problem):
                self._engine("separable")
            if engines.volume_overlap_save.supports(self.problem):
                self._engine("fft").compile_all()
            return
        self._engine("direct")
        if engines.separable.supports(self.problem):
            self._engine("separable")
        if engines.overlap_save.supports(self.problem):
            self._engine("fft").compile_all()
            if engines.volume_overlap_save.supports(self.problem):
                engines.volume_overlap_save.VolumeOverlapSaveEngine(self.problem).compile_all()

    def run(self, only: Any, x: np.ndarray, kernel: np.ndarray, out: np.ndarray, workers: int | None) -> str:
        """Fill `out` by the engine `only`, or if that is None by the one for this kernel; return the method."""
        if only is None or self.may_trim(x, kernel):
            prepared = self.prepare_cached(kernel)
            prepared.run(x, out, workers)
            return prepared.kind
        _run(only, self.problem, x, kernel, kernel, out, workers)
        return "direct"

    def prepare(self, kernel: np.ndarray | Separable) -> Prepared:
        """Prepare a kernel for the cheapest engine that takes it."""
        if listeners:
            notify("choose", problem=self.problem)
        if self._trims and not isinstance(kernel, Separable):
            inner = self._without_zeros(kernel)
            if inner is not None:
                return Prepared(self, inner.method, None, None, kernel, inner)
        return self.prepare_whole(kernel)

    def prepare_whole(self, kernel: np.ndarray | Separable) -> Prepared:
        """As `prepare`, with the zeros around the kernel."""
        is_inseparable = self._is_inseparable(kernel)
        for method in self._order:
            if method in OF_FACTORS and (is_inseparable or self._would_differ(method, kernel)):
                continue  # before an engine is compiled that will not be used
            engine = self._engine(method)
            if listeners:
                notify("prepare", problem=self.problem, method=method)
            prepared = engine.prepare(kernel if method == "separable" else as_taps(kernel, self.problem.kernel_dtype))
            if prepared is not None:
                return Prepared(self, method, engine, prepared, kernel, None)
        raise not_separable()

    def _is_inseparable(self, kernel: np.ndarray | Separable) -> bool:
        """Whether a few taps show that the kernel is no outer product along its first axis."""
        if isinstance(kernel, Separable) or kernel.ndim < 2 or kernel.dtype.kind != "f":
            return False
        return self.problem.sums.kind in "fc" and is_clearly_inseparable(
            kernel, np.empty(0, self.problem.sums).real.dtype
        )

    def _would_differ(self, method: str, kernel: np.ndarray | Separable) -> bool:
        """Whether the factors of a kernel have products that its taps do not; whoever asks for factors gets them."""
        if isinstance(kernel, Separable) or kernel.dtype.kind != "f" or self.method == method:
            return False
        return has_underflowed(kernel if method == "separable" else kernel.reshape(kernel.shape[0], -1))

    def prepare_cached(self, kernel: np.ndarray | Separable, whole: bool = False) -> Prepared:
        """As `prepare`, or `prepare_whole`; the result for a small kernel is kept, since most calls repeat one."""
        if kernel.nbytes > LARGEST_KEPT or isinstance(kernel, Separable):
            return self.prepare_whole(kernel) if whole else self.prepare(kernel)
        return _prepared(self, kernel.dtype, kernel.shape, kernel.tobytes(), whole)

    def decision(self, prepared: Prepared | None) -> Decision:
        """The decision for a prepared kernel, or for kernels that differ from call to call if that is None."""
        if prepared is None:
            return Decision(tuple(self._order), self._trims, None, self.roles)
        inner = prepared.inner
        order = None if inner is None else tuple(inner.choice._order)
        return Decision(tuple(self._order), inner is not None, order, (self if inner is None else inner.choice).roles)

    @property
    def roles(self) -> tuple | None:
        """The roles of axes in the direct engine for stacks of planes, if that takes the problem."""
        is_stacked = self._compiled and not self.problem.is_plain
        return engine_loader.load().plane_engine.roles(self.problem) if is_stacked else None

    @property
    def usual(self) -> str:
        """The method for a kernel that has neither factors nor zeros around it."""
        return next(method for method in self._order if method not in OF_FACTORS or self.method == method)

    def cheapest(self) -> float:
        """Estimated nanoseconds of the best method that takes any kernel."""
        return min((cost for method, cost in self.costs.items() if method not in OF_FACTORS), default=0.0)

    def reason(self, method: str) -> str:
        """Why this method, in words."""
        if self.method == method:
            return f"{method}, as asked for"
        if self._compiled and self.method == "fft":
            return f"{method}, since the kernel is too large for any tile"
        if not self._compiled:
            return f"direct, tap by tap in NumPy: no compiled engine takes {self._what()}"
        # For a kernel without factors the separable estimate is of no interest.
        possible = [name for name in self._order if name in (method, "direct", "fft") and name in self.costs]
        words = [f"{name} {_milliseconds(self.costs[name])}" for name in possible]
        return f"{method} (estimates for one core: {', '.join(words)})"

    def _what(self) -> str:
        """The property of the problem that compiled engines do not support, in words."""
        return f"{self.problem.dtype}" if self.problem.is_plain else "this problem"

    def _without_zeros(self, kernel: np.ndarray) -> Prepared | None:
        """Prepare a kernel without the zeros around it; None if it has none, or if that does not pay."""
        problem, spans = self.problem, zero_trimming.nonzero_ranges(kernel, tuple(range(kernel.ndim)))
        if spans is None:
            return None
        if spans[0] == (0, 0):  # all taps are zero
            spans = ((0, 1),) * kernel.ndim
        if self.method == "direct" and problem.is_plain:
            spans = engine_loader.load().direct.in_whole_groups(problem, spans, kernel)
        if listeners:
            notify("trim", spans=spans)
        starts = tuple(
            start - (first if problem.flip else extent - last) * dilation
            for start, (first, last), extent, dilation in zip(
                problem.starts, spans, kernel.shape, problem.dilations or (1,) * kernel.ndim
            )
        )
        within = tuple(slice(*span) for span in spans)
        trimmed = problem._replace(kernel_shape=kernel[within].shape, starts=starts)
        if self._inner is not None:
            return Choice(trimmed, self.method, Decision(self._inner, False, None)).prepare_whole(kernel[within].copy())
        inner = choice(trimmed, self.method)
        if inner.cheapest() + cost_model.finiteness_check(problem) > self.cheapest():
            return None
        return inner.prepare_whole(kernel[within].copy())  # a view would keep the zeros as well

    def _engine(self, method: str) -> Any:
        if not self._compiled or sys.is_finalizing():
            return NumpyEngine(self.problem)
        return engine(self.problem, method)


@kept
def choice(problem: Problem, method: str) -> Choice:
    """The cached `Choice` of a problem."""
    return Choice(problem, method)


@kept
def engine(problem: Problem, method: str) -> Any:
    """The cached compiled engine of a problem."""
    engines = engine_loader.load()
    if not problem.is_plain:
        if method == "separable":
            return engines.separable_volume.SeparableVolumeEngine(problem)
        if method == PARTLY:
            return engines.partly_separable.PartlySeparableEngine(problem)
        if method == "fft":
            return engines.volume_overlap_save.VolumeOverlapSaveEngine(problem)
        return engines.plane_engine.PlaneEngine(problem)
    if method == "fft" and problem.sums.kind in "iu":
        return engines.integer_overlap_save.IntegerOverlapSaveEngine(problem)
    if method == "fft" and problem.sums.kind == "f":
        tiles, whole = _estimates_of_spectra(problem)
        if whole < tiles:
            return engines.volume_overlap_save.VolumeOverlapSaveEngine(problem)
        return engines.whole_overlap_save.WholeOverlapSaveEngine(problem)
    if method == "fft":
        return engines.overlap_save.OverlapSaveEngine(problem)
    if method == "direct":
        return engines.direct.engine(problem)
    if problem.from_pixels:
        return engines.pixel_separable.PixelSeparableEngine(problem)
    return engines.separable.SeparableEngine(problem)


def _estimates_of_spectra(problem: Problem) -> tuple[float, float]:
    """Estimated nanoseconds for a plain problem in tiles, and transformed as a whole."""
    engines = engine_loader.load()
    return engines.overlap_save.estimate(problem), engines.volume_overlap_save.estimate_whole(problem)


# Bytes of the largest kernel whose preparation is kept. Comparing a few thousand bytes takes a microsecond, factoring
# or a spectrum a hundred.
LARGEST_KEPT = 1 << 17


@kept
def _prepared(choice: Choice, dtype: np.dtype, shape: tuple[int, ...], content: bytes, whole: bool) -> Prepared:
    kernel = np.frombuffer(content, dtype).reshape(shape)
    return choice.prepare_whole(kernel) if whole else choice.prepare(kernel)


def _is_compiled(problem: Problem) -> bool:
    """Whether a compiled engine takes a problem by the method 'direct'."""
    engines = engine_loader.load()
    return engines.layout.supports(problem.sums) if problem.is_plain else engines.plane_engine.supports(problem)


def factors_are_precise(problem: Problem) -> bool:
    """Whether factors within the kernel's rounding are within that of the result."""
    kernel = problem.kernel_dtype
    return kernel.kind != "f" or np.finfo(kernel).eps <= np.finfo(problem.sums).eps


def _is_finite(kernel: np.ndarray | Separable) -> bool:
    """True if all taps are finite."""
    return all(map(is_finite, kernel.lines if isinstance(kernel, Separable) else (kernel,)))


def _milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.3g} ms"
