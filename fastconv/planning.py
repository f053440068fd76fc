"""Plans: convolutions prepared for one kernel and many arrays."""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._model.arguments import (
    as_array,
    as_bool,
    as_choice,
    as_choices,
    as_dtype,
    as_fill_value,
    as_integer,
    as_workers,
    given_axes,
)
from fastconv._model.checks import as_out, overlaps_itself
from fastconv._model.guarantees import FOOTPRINT, RAW
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.missing_data import NAN, Missing, refuse_unused
from fastconv._model.passed_exceptions import passed
from fastconv._model.steps import Steps, as_steps, usual_steps
from fastconv._planning.method_choice import Decision, Prepared
from fastconv._planning.missing import missing_calls, missing_plans
from fastconv._planning.plans import Plan, Request, find
from fastconv._planning.sweeps import Sweep
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.cpu_limits import check_variable
from fastconv._runtime.interruptible_numpy import converted, copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv._runtime.progress_reports import Progress, reporting
from fastconv.convolution import Boundary, Method, Mode, Nan, Start


class _Options(NamedTuple):
    """The checked arguments of a plan, without the kernel."""

    x_dtype: np.dtype
    shape: tuple[int, ...]
    mode: Mode | tuple[Mode, ...]
    axes: tuple[int, ...]
    boundary: Boundary | tuple[Boundary, ...]
    fill_value: Any
    method: Method
    check: bool
    correlate: bool
    workers: int | None = None
    steps: Steps | None = None

    def __str__(self) -> str:
        """What to compute, in words."""
        words = f"mode {self.mode!r}, axes {self.axes}, boundary {self.boundary!r}"
        if self.steps is not None:
            names = "stride", "dilation", "start", "lags"
            usual = (1,), (1,), (None,), (None,)
            for name, given, common in zip(names, self.steps, usual):
                if given is not None and set(given) != set(common):
                    words += f", {name} {given}"
        return words


class ConvolutionPlan:
    """A prepared convolution, made by `fastconv.plan`: call it with one array after the other.

    A plan may be called from several threads at once. It is immutable: `copy.copy` and `copy.deepcopy` return the plan
    itself, and a plan equals only itself. It can be pickled, for example for process pools: the unpickled plan uses the
    same method, even if estimates differ there, and gives the same bits on one kind of processor.

    Attributes
    ----------
    shape : tuple of int
        The shape of the arrays it takes.
    x_dtype : dtype
        The dtype of the arrays it takes.
    out_shape : tuple of int
        The shape of the results.
    dtype : dtype
        The dtype of the results.
    method : {'direct', 'separable', 'fft'}
        How it computes. Results that are not finite are computed directly in any case.
    guarantee : str
        What is guaranteed of the error of each result, in words.
    nbytes : int
        The bytes it holds: the kernel, its factors or its spectrum, and tables.
    """

    shape: tuple[int, ...]
    x_dtype: np.dtype
    out_shape: tuple[int, ...]
    dtype: np.dtype
    method: str
    guarantee: str
    nbytes: int
    _plan: Plan
    _kernel: NDArray
    _options: _Options
    _prepared: Prepared | None

    def __init__(self, plan: Plan, kernel: NDArray, options: _Options):
        prepared = plan.prepare(kernel)
        vars(self).update(
            _plan=plan,
            _kernel=kernel,
            _options=options,
            _prepared=prepared,
            shape=options.shape,
            x_dtype=options.x_dtype,
            out_shape=plan.shape,
            dtype=plan.dtype,
            method=plan.method if prepared is None else prepared.kind,
            guarantee=plan.error_bound(plan.method if prepared is None else prepared.method),
            nbytes=plan.nbytes + kernel.nbytes if prepared is None else prepared.nbytes,
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a plan cannot be changed, so {name} cannot be set; make another with fastconv.plan")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a plan cannot be changed, so {name} cannot be deleted")

    def __copy__(self) -> ConvolutionPlan:
        return self

    def __deepcopy__(self, memo: object) -> ConvolutionPlan:
        return self

    def __reduce__(self) -> tuple:
        decision = self._plan.decision(self._prepared)
        # The dtype is passed on its own: NumPy's pickles of arrays lose the byte order.
        return _unpickled, (self._kernel, self._kernel.dtype, tuple(self._options), tuple(decision))

    def __call__(self, x: ArrayLike, out: NDArray | None = None, *, progress: Progress | None = None) -> NDArray:
        """Convolve `x`.

        Parameters
        ----------
        x : array_like of `shape` and `x_dtype`
            An array of the other byte order is accepted, and copied: NumPy's pickles always have the native one.
        out : ndarray of `out_shape` and `dtype`, optional
            The array to write the result to. It may overlap `x`.
        progress : callable, optional
            Told how much is done, and may stop the work, as in `convolve1d`.

        Returns
        -------
        ndarray
            `out`, or a new array.

        Raises
        ------
        ValueError
            If `x` or `out` does not have the shape and dtype of the plan.
        TypeError
            If `out` is not an array.

        See Also
        --------
        fastconv.plan : Makes plans.

        Examples
        --------
        >>> import fastconv
        >>> differences = fastconv.plan([1, -1], 4, int, "valid")
        >>> differences([1, 4, 9, 16]), differences([1, 8, 27, 64])
        (array([3, 5, 7]), array([ 7, 19, 37]))
        """
        if progress is not None:
            with reporting(progress):
                return self(x, out)
        samples: NDArray = as_array(x, "x").view()
        _pins = pinned(samples) if samples.dtype != self.x_dtype or out is not None else ()
        samples = self._checked(samples)
        if out is not None:
            given = as_out(out, self.out_shape, self.dtype)
            _out_pins = pinned(given)
            if not (may_share_memory(given, samples) or overlaps_itself(given)):
                self._run(samples, given)
                return out
        result = np.empty(self.out_shape, self.dtype)
        self._run(samples, result)
        if out is None:
            return result
        copy(given, result)
        return out

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """Where the results along each axis are in the full convolution."""
        return self._plan.sweeps

    @property
    def takes_spans(self) -> bool:
        """True if parts of the results can be computed from parts of an array, with the same bits."""
        return self._prepared is not None

    def part(self, shape: tuple[int, ...], spans: tuple[tuple[int, int], ...]) -> PartPlan:
        """Describe the plan of some of the results, which takes the part of an array that they depend on.

        `spans` are the numbers of results along each axis, and the indices of their first ones in the full
        convolution of that part, of this shape.
        """
        taps = self._kernel
        steps = (self._options.steps or usual_steps(len(spans))).of_spans(spans)
        options = self._options._replace(shape=shape, steps=steps)
        # The dtype is passed on its own, as in pickles of plans.
        return PartPlan(taps, taps.dtype, tuple(options), tuple(self._plan.decision(self._prepared)))

    def _checked(self, samples: NDArray) -> NDArray:
        """Check an array; return it in the byte order of the plan."""
        if samples.shape != self.shape or samples.dtype != self.x_dtype:
            if samples.shape != self.shape or samples.dtype.newbyteorder("=") != self.x_dtype.newbyteorder("="):
                raise ValueError(
                    f"x must have shape {self.shape} and dtype {self.x_dtype}, which the plan was made for; "
                    f"got shape {samples.shape} and dtype {clipped(samples.dtype)}"
                )
            samples = converted(samples, self.x_dtype)
        return samples

    def _run(self, x, out):
        if self._prepared is None:
            self._plan(x, self._kernel, out, self._options.workers)
        else:
            self._plan.run(x, self._prepared, out, self._options.workers)

    def __repr__(self) -> str:
        options = self._options
        what = "correlation" if options.correlate else "convolution"
        kernel = "x".join(map(str, self._kernel.shape))
        why = self._prepared or self._plan.reason
        return (
            f"<fastconv.plan: {what} of {self.x_dtype} {self.shape} with {kernel} {self._kernel.dtype}, "
            f"{options}, to {self.dtype} {self.out_shape}; {why}; {self.guarantee}>"
        )


class _PlanOfMissing(ConvolutionPlan):
    """A plan of arrays of which samples may be missing, with weights that are the same for all of them."""

    _missing: missing_plans.MissingPlan
    _weights: NDArray | None
    _returns_weight: bool

    def __init__(
        self,
        plan: missing_plans.MissingPlan,
        kernel: NDArray,
        options: _Options,
        weights: NDArray | None,
        returns_weight: bool,
    ):
        vars(self).update(
            _missing=plan,
            _kernel=kernel,
            _options=options,
            _weights=weights,
            _returns_weight=returns_weight,
            shape=options.shape,
            x_dtype=options.x_dtype,
            out_shape=plan.shape,
            dtype=plan.dtype,
            method=plan.method,
            guarantee=plan.guarantee,
            nbytes=plan.nbytes + kernel.nbytes + (0 if weights is None else weights.nbytes),
        )

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        return self._missing.sweeps

    @property
    def takes_spans(self) -> bool:
        return False

    def __reduce__(self) -> tuple:
        found, weights = self._missing, self._weights
        # The dtype is passed on its own: NumPy's pickles of arrays lose the byte order.
        kernel = self._kernel, self._kernel.dtype
        return _unpickled_of_missing, (
            *kernel, tuple(self._options), tuple(found.request), tuple(found.request.missing), found.methods, weights,
            self._returns_weight,
        )  # fmt: skip

    def __call__(self, x: ArrayLike, out: NDArray | None = None, *, progress: Progress | None = None) -> NDArray | Any:
        if progress is not None:
            with reporting(progress):
                return self(x, out)
        samples, known, masked = missing_calls.unmasked(x, "x")
        _pins = pinned(samples)
        samples = self._checked(samples)
        weights = None if self._weights is None else np.broadcast_to(self._weights, self.shape)
        workers = self._options.workers
        return missing_calls.run(self._missing, samples, known, weights, masked, out, self._returns_weight, workers)

    def __repr__(self) -> str:
        options, kernel = self._options, "x".join(map(str, self._kernel.shape))
        what = "correlation" if options.correlate else "convolution"
        return (
            f"<fastconv.plan: {what} of known samples of {self.x_dtype} {self.shape} with {kernel} "
            f"{self._kernel.dtype}, {options}, to {self.dtype} {self.out_shape}; {self.method}; {self.guarantee}>"
        )


class PartPlan(NamedTuple):
    """Describes the plan of some of the results of another one, by the same methods; it is made where it runs."""

    kernel: NDArray
    kernel_dtype: np.dtype
    options: tuple
    decision: tuple

    def made(self) -> ConvolutionPlan:
        """The plan, cached."""
        return _unpickled(*self)


def _unpickled_of_missing(
    kernel, kernel_dtype, options, request, missing, methods, weights, returns_weight
) -> ConvolutionPlan:
    """Rebuild a pickled plan."""
    kernel = kernel.astype(kernel_dtype, copy=False)
    asked = missing_plans.Request(*request)._replace(missing=Missing(*missing))
    found = missing_plans.MissingPlan(asked, kernel, methods)
    return _PlanOfMissing(found, kernel, _Options(*options), weights, returns_weight)


def _unpickled(kernel: NDArray, kernel_dtype: np.dtype, options: tuple, decision: tuple) -> ConvolutionPlan:
    """Rebuild a pickled plan, cached, since process pools send the plan with every task."""
    kernel = kernel.astype(kernel_dtype, copy=False)
    given, decided = _Options(*options), Decision(*decision)
    dtype = np.result_type(given.x_dtype, kernel)
    if "fill" in given.boundary:
        given = given._replace(fill_value=as_fill_value(given.fill_value, dtype))
    # Not cached: objects, which may be equal and differ in type, and a complex NaN, which equals nothing.
    cacheable = given.fill_value == given.fill_value or given.fill_value is math.nan
    if dtype.kind == "O" or not cacheable:
        return _build(kernel, given, decided)
    return _cached(kernel.dtype, kernel.shape, kernel.tobytes(), given, decided)


@kept
def _cached(dtype, kernel_shape, content: bytes, options: _Options, decision: Decision) -> ConvolutionPlan:
    return _build(np.frombuffer(content, dtype).reshape(kernel_shape), options, decision)


def _build(kernel: NDArray, options: _Options, decision: Decision) -> ConvolutionPlan:
    x_dtype, shape, mode, axes, boundary, fill_value, method, check, correlate, _, steps = options
    arguments = (x_dtype, shape, kernel.dtype, kernel.shape, mode, axes, boundary, fill_value, method, not correlate)
    made = Plan(Request(*arguments, FOOTPRINT if check else RAW, steps), decision=decision)
    return ConvolutionPlan(made, kernel, options)


def plan(
    kernel: ArrayLike,
    shape: int | tuple[int, ...],
    dtype: DTypeLike | None = None,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: int | tuple[int, ...] | None = None,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    lags: tuple[int, int] | None = None,
    method: Method = "auto",
    check: bool = True,
    correlate: bool = False,
    workers: int | None = None,
    nan: Nan = "propagate",
    weights: ArrayLike | None = None,
    min_weight: float = 0.0,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> ConvolutionPlan:
    """Prepare a convolution with one kernel, to be called with one array after the other.

    The flipped kernel, its factors or its spectrum are computed once, here. The plan returns the same results as
    `fastconv.convolve` (with `correlate`: `fastconv.correlate`) along the same axes, for the same arguments.

    Parameters
    ----------
    kernel : array_like
        The taps: one dimension for each of `axes`, or as many as the arrays. They are copied.
    shape : int or tuple of int
        The shape of the arrays to convolve, with at least as many dimensions as the kernel.
    dtype : dtype, optional
        The dtype of the arrays to convolve. By default that of the kernel.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute, as in `convolve1d` and `convolve2d`.
    axes : int or tuple of int, optional
        The axes to convolve along, as in `fastconv.convolve`. By default the last ones, one for each of the kernel's.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How the arrays continue outside, as in `convolve1d`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation, start : optional
        Which results, and how far taps are apart, as in `convolve1d` and `convolve2d`.
    lags : tuple of int, optional
        The first and the last lag, as in `correlate1d`: along one axis, with `correlate`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute, as in `convolve1d`.
    check : bool
        Check what the method 'fft' gives, as in `convolve1d`.
    correlate : bool
        Correlate: conjugate the kernel instead of flipping it.
    workers : int, optional
        The maximum number of threads, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`. The weights, which are copied, are those of all arrays.
        With ``nan="ignore"`` or weights the plan takes masked arrays too.

    Returns
    -------
    ConvolutionPlan
        A callable; its `repr` shows which method it uses, and why.

    Raises
    ------
    ValueError, TypeError
        As `convolve` and `correlate1d`; and for a `kernel` without dimensions, and an invalid `shape`.

    See Also
    --------
    fastconv.convolve : The same for one array.
    fastconv.layers.plan2d : Prepare a convolutional layer.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> blur = fastconv.plan(np.ones((3, 3), np.float32) / 9, shape=(480, 640), mode="same", boundary="reflect")
    >>> frames = np.ones((2, 480, 640), np.float32)
    >>> [blur(frame).shape for frame in frames]
    [(480, 640), (480, 640)]
    >>> blur.method
    'direct'
    """
    check_variable()
    taps = np.array(as_array(kernel, "kernel"))
    if taps.ndim == 0:
        raise ValueError("kernel must have at least one dimension; got a scalar")
    shape = _as_shape(shape, taps.ndim)
    x_dtype = taps.dtype.newbyteorder("=") if dtype is None else as_dtype(dtype)
    if axes is None:
        numbers = tuple(range(len(shape) - taps.ndim, len(shape)))
    else:
        numbers = given_axes(axes, taps.ndim, len(shape))
    if workers is not None:
        workers = as_workers(workers)
    check, correlate = as_bool(check, "check"), as_bool(correlate, "correlate")
    mode, boundary, method = as_choices(mode, boundary, method, len(numbers))
    if lags is not None and not correlate:
        raise ValueError(f"lags must be None for a plan that does not correlate; got {shown(lags)}")
    steps = as_steps(stride, dilation, start, lags, len(numbers))
    if weights is not None or as_choice(nan, "nan", NAN) == "ignore":
        returns_weight, guarantee = as_bool(return_weight, "return_weight"), FOOTPRINT if check else RAW
        treatment = nan, min_weight, normalize, missing_value
        given = mode, numbers, boundary, fill_value, method, not correlate, guarantee
        made = missing_calls.checked("x", x_dtype, shape, taps, *given, steps, *treatment)
        kept_weights = None if weights is None else missing_calls.as_weights(weights, shape, made.dtype, copies=True)
        own = made.request
        options = _Options(
            x_dtype, shape, mode, own.axes, boundary, own.fill_value, method, check, correlate, workers, steps
        )
        return _PlanOfMissing(made, taps, options, kept_weights, returns_weight)
    refuse_unused(min_weight, return_weight, normalize, missing_value)
    found = find(
        "x",
        x_dtype,
        shape,
        taps.dtype,
        taps.shape,
        mode,
        numbers,
        boundary,
        fill_value,
        method,
        not correlate,
        FOOTPRINT if check else RAW,
        steps,
    )
    options = _Options(
        x_dtype, shape, mode, numbers, boundary, found.fill_value, method, check, correlate, workers, steps
    )
    return ConvolutionPlan(found, taps, options)


_MOST_DIMENSIONS = 64  # of NumPy's arrays


def _as_shape(shape, least: int) -> tuple[int, ...]:
    """Return `shape` as a tuple of positive integers; raise if there are fewer than `least`."""
    try:
        extents = tuple(map(as_integer, shape)) if isinstance(shape, (tuple, list)) else (as_integer(shape),)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"shape must be an integer or a tuple of integers; got {shown(shape)}") from error
    if len(extents) > _MOST_DIMENSIONS:
        raise ValueError(f"shape must have at most {_MOST_DIMENSIONS} dimensions; got {len(extents)}")
    if len(extents) < least:
        raise ValueError(f"shape must have at least {least} dimensions, those of the kernel; got {shown(shape)}")
    if not all(1 <= extent <= sys.maxsize for extent in extents):
        raise ValueError(f"shape must hold positive integers, of at most {sys.maxsize}; got {shown(shape)}")
    return extents
