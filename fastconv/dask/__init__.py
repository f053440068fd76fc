"""Convolutions of dask arrays, of zarr arrays and of memory maps: lazy, in chunks, on one machine or a cluster.

The functions have the names, the options and the results of those of `fastconv` and `fastconv.image`, without `out` and
`progress`, and return dask arrays:

>>> import dask.array as da
>>> import numpy as np
>>> import fastconv.dask
>>> x = da.ones((6000, 9000), chunks=(1000, 1500), dtype="float32")
>>> y = fastconv.dask.convolve2d(x, np.ones((5, 5), "float32"), "same", boundary="reflect")
>>> y
dask.array<fastconv, shape=(6000, 9000), dtype=float32, chunksize=(1000, 1500), chunktype=numpy.ndarray>
>>> float(y[0, 0].compute())
25.0

- The kernel is an array in memory, and may be larger than a chunk or than the array. Chunks may have any sizes, and are
  not changed: in mode 'full' those at the ends grow, in mode 'valid' they shrink.
- Each chunk of the result is one task. It gets the samples that it depends on, cut out of their chunks where these are,
  so that only the samples around a chunk are sent between machines. Of a zarr array or a memory map each task reads
  these samples itself, and no task waits for another.
- The method is chosen once, for the whole array. By the methods 'direct' and 'separable' results equal those of the
  whole array to the last bit if chunks cut axes that are convolved, or others in front of those; to rounding if they
  cut axes behind, such as channels, and by 'fft'. With ``nan="ignore"`` a chunk without a NaN is
  that of the ordinary convolution, also if there is a NaN elsewhere, which makes a difference of rounding.
- All arguments are checked at once, but weights, which may be lazy or stored too, when they are used.
- `workers` is the number of threads of one task, by default 1, since dask runs tasks in threads.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

from fastconv import convolution
from fastconv import image as pictures
from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_bool,
    as_choice,
    as_workers,
    given_axes,
)
from fastconv._model.checks import as_dimensions, check_operands
from fastconv._model.guarantees import FOOTPRINT, RAW
from fastconv._model.message_formatting import clipped
from fastconv._model.missing_data import NAN, refuse_unused
from fastconv._model.separability import Separable
from fastconv._model.steps import as_steps
from fastconv._planning.missing import missing_calls
from fastconv._runtime.lazy_modules import directory
from fastconv.image._blurs import axis_count, prepared_blur
from fastconv.image._filter import as_taps, checked_sums
from fastconv.image._options import Options
from fastconv.image._source import Source
from fastconv.planning import plan

try:
    import dask.array as da

    from fastconv.dask._docstrings import lazy_docstring
    from fastconv.dask._graph import lazy
    from fastconv.dask._parts import Filtered, Known, Plain, Work
    from fastconv.dask._sources import Chunked, Stored, as_mapped, as_source, is_stored
except ImportError as error:
    raise ImportError(f"fastconv.dask needs dask: pip install 'fastconv[dask]'; {error}") from error

__all__ = [
    "convolve",
    "convolve1d",
    "convolve2d",
    "convolve3d",
    "correlate",
    "correlate1d",
    "correlate2d",
    "correlate3d",
    "filter",
    "gaussian_blur",
]
__dir__ = directory(__name__)

P = ParamSpec("P")
IMPORTS = """>>> import dask.array as da
>>> import fastconv.dask
"""


def _counterpart(
    native: Callable[P, Any], build: Callable[[str, dict[str, Any]], Any], example: str
) -> Callable[P, Any]:
    """The lazy function of the name and the options of a native one, which `build` gets, all of them, by name."""
    signature = inspect.signature(native)
    absent = ("out", "progress")
    kept = [option for name, option in signature.parameters.items() if name not in absent]
    signature = signature.replace(parameters=kept, return_annotation=inspect.Signature.empty)

    @functools.wraps(native)
    def function(*arguments: P.args, **options: P.kwargs) -> Any:
        try:
            bound = signature.bind(*arguments, **options)
        except TypeError as error:
            raise TypeError(f"{native.__name__}() {error}") from None
        bound.apply_defaults()
        return build(native.__name__, bound.arguments)

    del function.__wrapped__
    function.__module__ = __name__
    function.__signature__ = signature  # type: ignore[attr-defined]
    home = "fastconv.image" if native.__module__.startswith("fastconv.image") else "fastconv"
    function.__doc__ = lazy_docstring(native, f"{home}.{native.__name__}", absent, IMPORTS + example)
    return function


# ------------------------------------------------------------------------------------------------------- convolutions


def _convolution(dimensions: int, correlates: bool, name: str, options: dict[str, Any]) -> Any:
    """Build a convolution along `dimensions` axes, or 0 for any number."""
    (first, x), kernel = next(iter(options.items())), as_array(options["kernel"], "kernel").view()
    source = as_source(x, first)
    stand_in = _stand_in(source.shape, source.dtype)
    check_operands(first, source.dtype, stand_in.shape, kernel.dtype, kernel.shape)
    if dimensions:
        kernel = as_dimensions(stand_in, kernel, dimensions, first)[1]
        axes = (options["axis"],) if dimensions == 1 else options["axes"]
        axes = as_axes(axes, dimensions, stand_in.ndim, "axis" if dimensions == 1 else "axes")
    elif options["axes"] is not None:
        axes = given_axes(options["axes"], kernel.ndim, stand_in.ndim)
    elif stand_in.ndim == kernel.ndim > 0:
        axes = tuple(range(kernel.ndim))
    else:
        raise ValueError(
            f"{first} and kernel must have the same number of dimensions, at least one, or axes must tell along which "
            f"to convolve; got shapes {stand_in.shape} and {kernel.shape}"
        )
    steps = {key: options[key] for key in ("stride", "dilation", "start")} | {"lags": options.get("lags")}
    common = {key: options[key] for key in ("mode", "boundary", "fill_value", "method")}
    workers = as_workers(options["workers"]) or 1
    work: Work
    if _may_miss(source, options):
        if as_steps(**steps, count=len(axes)) is not None or kernel.ndim != len(axes):
            raise ValueError("missing samples need one kernel, without stride, dilation, start and lags")
        found = missing_calls.checked(
            first,
            source.dtype,
            stand_in.shape,
            kernel,
            axes=axes,
            **common,
            flip=not correlates,
            guarantee=FOOTPRINT if as_bool(options["check"], "check") else RAW,
            steps=None,
            **_treatment(options),
        )
        source = _with_weights(source, options["weights"], found.dtype)
        work = Known(found, kernel, workers, as_bool(options["return_weight"], "return_weight"), source.masked)
    else:
        checked = plan(
            kernel, stand_in.shape, source.dtype, axes=axes, check=options["check"], correlate=correlates,
            workers=workers, **common, **steps,
        )  # fmt: skip
        work = Plain(checked, kernel)
    return lazy(source, work, _token(name, kernel, options))


def _may_miss(source: Chunked | Stored, options: dict[str, Any]) -> bool:
    """Whether samples may be missing; else refuse options that are for these only."""
    if options["weights"] is not None or source.masked or as_choice(options["nan"], "nan", NAN) == "ignore":
        return True
    refuse_unused(
        options["min_weight"], options["return_weight"], options.get("normalize", True), options["missing_value"]
    )
    return False


def _treatment(options: dict[str, Any]) -> dict[str, Any]:
    """What to do about missing samples."""
    names = "nan", "min_weight", "normalize", "missing_value"
    return {name: options.get(name, True) for name in names}  # a blur always normalizes


def _with_weights(source: Chunked | Stored, weights: Any, dtype: np.dtype) -> Chunked | Stored:
    """The samples with their weights, which are cut as they are."""
    if weights is None:
        return source
    stored = as_mapped(weights)
    if isinstance(source, Stored) and is_stored(stored) and stored.shape == source.shape:
        _check_weights(stored.dtype)
        return source.with_weights(stored)
    if not isinstance(weights, da.Array):
        weights = da.from_array(missing_calls.as_weights(weights, source.shape, dtype, copies=True), -1)
    _check_weights(weights.dtype)
    try:
        weights = da.broadcast_to(weights, source.shape).rechunk(source.chunks)
    except ValueError:
        raise ValueError(
            f"weights must be of a shape that broadcasts to {source.shape}; got {clipped(weights.shape)}"
        ) from None
    return Chunked(source.array, weights)


def _check_weights(dtype: np.dtype) -> None:
    if dtype.kind not in "biuf":
        raise TypeError(f"weights must hold real numbers; got dtype {clipped(dtype)}")


def _stand_in(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of the shape and the dtype of a lazy one, for checks that look at no sample."""
    return np.broadcast_to(np.empty((), dtype), shape)


def _token(name: str, kernel: Any, options: dict[str, Any]) -> tuple:
    """What the name of a result is made of, beside the samples and weights."""
    others = [(key, value) for key, value in list(options.items())[1:] if key not in ("kernel", "weights")]
    return name, kernel, others


convolve1d = _counterpart(
    convolution.convolve1d,
    functools.partial(_convolution, 1, False),
    """>>> x = da.arange(1, 7, chunks=3)
>>> fastconv.dask.convolve1d(x, [1, 10], "same").compute()
array([ 1, 12, 23, 34, 45, 56])""",
)
convolve2d = _counterpart(
    convolution.convolve2d,
    functools.partial(_convolution, 2, False),
    """>>> x = da.ones((3, 4), dtype="int64", chunks=2)
>>> fastconv.dask.convolve2d(x, [[1, 1], [1, 1]], "same").compute()
array([[1, 2, 2, 2],
       [2, 4, 4, 4],
       [2, 4, 4, 4]])""",
)
convolve3d = _counterpart(
    convolution.convolve3d,
    functools.partial(_convolution, 3, False),
    """>>> x = da.ones((1, 2, 3), dtype="int64", chunks=1)
>>> fastconv.dask.convolve3d(x, [[[1, 1]]], "valid").compute()
array([[[2, 2],
        [2, 2]]])""",
)
convolve = _counterpart(
    convolution.convolve,
    functools.partial(_convolution, 0, False),
    """>>> x = da.arange(1, 7, chunks=3).reshape(2, 3)
>>> fastconv.dask.convolve(x, [1, 10], "same", axes=1).compute()
array([[ 1, 12, 23],
       [ 4, 45, 56]])""",
)
correlate1d = _counterpart(
    convolution.correlate1d,
    functools.partial(_convolution, 1, True),
    """>>> x = da.arange(1, 7, chunks=3)
>>> fastconv.dask.correlate1d(x, [1, 10], "same").compute()
array([10, 21, 32, 43, 54, 65])""",
)
correlate2d = _counterpart(
    convolution.correlate2d,
    functools.partial(_convolution, 2, True),
    """>>> x = da.arange(6, chunks=3).reshape(2, 3)
>>> fastconv.dask.correlate2d(x, [[-1, 0, 1]], "valid").compute()
array([[2],
       [2]])""",
)
correlate3d = _counterpart(
    convolution.correlate3d,
    functools.partial(_convolution, 3, True),
    """>>> x = da.arange(8, chunks=4).reshape(2, 2, 2)
>>> fastconv.dask.correlate3d(x, [[[1]], [[10]]], "valid").compute()
array([[[40, 51],
        [62, 73]]])""",
)
correlate = _counterpart(
    convolution.correlate,
    functools.partial(_convolution, 0, True),
    """>>> x = da.arange(1, 7, chunks=3).reshape(2, 3)
>>> fastconv.dask.correlate(x, [1, 10], "same", axes=1).compute()
array([[10, 21, 32],
       [40, 54, 65]])""",
)


# ----------------------------------------------------------------------------------------------------------- pictures


def _filter(name: str, options: dict[str, Any]) -> Any:
    """Build a filter of pixels."""
    lazy_source, source = _opened(pictures.filter, options, 2)
    scale, offset, flip = checked_sums(source, options["scale"], options["offset"], options["correlate"])
    how = {"scale": scale, "offset": offset, "flip": flip, "normalize": options["normalize"]}
    return _filtered(lazy_source, source, as_taps(options["kernel"], source), how, _token(name, None, options))


def _gaussian_blur(name: str, options: dict[str, Any]) -> Any:
    """Build a Gaussian blur."""
    lazy_source, opened = _opened(pictures.gaussian_blur, options, axis_count(options["axes"]))
    source, kernel, level = prepared_blur(opened, options["sigma"], options["truncate"], options["order"])
    how = {"scale": 1.0, "offset": 0.0, "flip": True, "normalize": level is None or not source.may_miss}
    return _filtered(lazy_source, source, kernel, how, _token(name, None, options), level)


def _opened(native: Callable[..., Any], options: dict[str, Any], count: int) -> tuple[Any, Source]:
    """Open a lazy picture; and one of its shape, without pixels, for all checks."""
    found = as_source(options["image"], "image")
    keywords = {key: options[key] for key in Options._fields if key in options}
    checked = Options.of(native, {**keywords, "workers": as_workers(keywords["workers"]) or 1})
    few = np.zeros((1,) * (len(found.shape) - 1) + found.shape[-1:], found.dtype)
    few = np.ma.asarray(few) if found.masked else few
    small = Source.open(few if all(found.shape) else _stand_in(found.shape, found.dtype), checked, count)
    given, array = (_stand_in(found.shape, one.dtype) for one in (small.given, small.array))
    return found, small._replace(given=given, array=given if small.is_plain else array)


def _filtered(
    found: Chunked | Stored, source: Source, kernel: Any, how: dict[str, Any], token: tuple, level: Any = None
) -> Any:
    """Build the filter of an opened picture."""
    source.check_results(kernel.shape)
    work = Filtered(source, kernel, how, level)
    weights = source.options.weights
    stored = as_mapped(weights)
    both_are_stored = isinstance(found, Stored) and is_stored(stored)
    if isinstance(found, Stored) and both_are_stored and source.are_of_pixels(stored):
        _check_weights(stored.dtype)
        found = found.with_weights(stored)
    elif weights is not None:
        weights = weights if isinstance(weights, da.Array) or both_are_stored else as_array(weights, "weights")
        weights = weights[..., np.newaxis] if source.are_of_pixels(weights) else weights
        found = _with_weights(found, weights, work.dtype)
    taps = (kernel.lines, kernel.dtype) if isinstance(kernel, Separable) else kernel
    return lazy(found, work, (*token, taps))


filter = _counterpart(
    pictures.filter,
    _filter,
    """>>> picture = da.full((4, 6), 100, chunks=3, dtype="uint8")
>>> fastconv.dask.filter(picture, [[0.5, 0.75]])[0].compute()
array([125, 125, 125, 125, 125, 125], dtype=uint8)""",
)
gaussian_blur = _counterpart(
    pictures.gaussian_blur,
    _gaussian_blur,
    """>>> picture = da.zeros((4, 6), chunks=3, dtype="uint8") + da.array([0, 0, 90, 0, 0, 0], dtype="uint8")
>>> fastconv.dask.gaussian_blur(picture, sigma=1)[0].compute()
array([ 5, 22, 36, 22,  5,  0], dtype=uint8)""",
)
