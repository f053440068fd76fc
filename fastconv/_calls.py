"""One call of a convolution: arrays and options checked, the plan of their types and shapes found, and run.

The functions take their options by position, in one order, since all that they do beside the plan takes a microsecond.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_bool,
    as_choice,
    as_workers,
    given_axes,
    is_masked_array,
)
from fastconv._model.checks import as_dimensions, as_out, overlaps_itself
from fastconv._model.guarantees import FOOTPRINT, RAW
from fastconv._model.message_formatting import shown
from fastconv._model.missing_data import NAN, refuse_unused
from fastconv._model.steps import as_steps
from fastconv._planning.missing import missing_calls
from fastconv._planning.plans import find
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv._runtime.progress_reports import reporting

# Smaller arrays are pinned by the engine only, some microseconds later: two pins would take a fifth of a small call.
_PINNED_BYTES = 1 << 16

# Default values of options, recognized by identity: any other object, even if equal, only takes a longer way.
LAST_TWO = (-2, -1)
ONE: Final = 1  # of strides and dilations
PROPAGATE: Final = "propagate"
ANY_SHARE = 0.0
_ORDINARY = PROPAGATE, None, ANY_SHARE, False, True, None


def convolved_along(x, kernel, mode, axes, boundary, fill_value, method, check, workers, out, flip, rare):
    """Convolve along all axes, or along some of any array."""
    if type(x) is not np.ndarray and not is_masked_array(x):
        x = as_array(x, "x")
    if type(kernel) is not np.ndarray:
        kernel = as_array(kernel, "kernel")
    if axes is not None:
        x, kernel = x.view(), kernel.view()
        _pins = pinned(x, kernel)  # as in `convolved`
        if not 0 < kernel.ndim <= x.ndim:
            raise ValueError(
                f"kernel must have one dimension for each of axes, or those of x; got shapes {x.shape} and "
                f"{kernel.shape}, and axes {shown(axes)}"
            )
        axes = given_axes(axes, kernel.ndim, x.ndim)
        return convolved(x, kernel, 0, "x", mode, axes, boundary, fill_value, method, check, workers, out, flip, rare)
    if x.ndim > 2:
        x, kernel = x.view(), kernel.view()  # `convolved` does not check their dimensions again
    if x.ndim != kernel.ndim:
        raise ValueError(
            f"x and kernel must have the same number of dimensions, or axes must tell along which to convolve; "
            f"got shapes {x.shape} and {kernel.shape}"
        )
    if x.ndim > 0:
        count, axes = (1, (0,)) if x.ndim == 1 else (2, (0, 1)) if x.ndim == 2 else (0, tuple(range(x.ndim)))
        return convolved(
            x, kernel, count, "x", mode, axes, boundary, fill_value, method, check, workers, out, flip, rare
        )
    result = convolved(x, kernel, 1, "x", mode, (0,), boundary, fill_value, method, check, workers, None, flip, rare)
    values, *shares = result if isinstance(result, tuple) else (result,)
    if out is None:
        values = values.reshape(())
    else:
        as_out(out, (), values.dtype)[...] = values.reshape(())
        values = out
    return (values, *(share.reshape(()) for share in shares)) if shares else values


def rare_options(
    stride, dilation, start, lags, progress, nan, weights, min_weight, return_weight, normalize, missing_value
) -> tuple[tuple, tuple, Any] | None:
    """The options that most calls leave out, for `convolved`; None if all have their default values."""
    if (
        stride is dilation is ONE
        and start is lags is progress is weights is missing_value is None
        and nan is PROPAGATE
        and min_weight is ANY_SHARE
        and return_weight is False
        and normalize is True
    ):
        return None
    missing = nan, weights, min_weight, return_weight, normalize, missing_value
    return (stride, dilation, start, lags), missing, progress


def convolved(x, kernel, dimensions, name, mode, axes, boundary, fill_value, method, check, workers, out, flip, rare):
    """Convolve along one axis or two, or with `dimensions` of 0 along any number, checked before.

    Error messages call `x` by `name`. `rare` are stride, dilation, start and lags, the options for missing samples, and
    the function that is told of progress; None if all have their default values.
    """
    if type(x) is not np.ndarray:
        x = x if is_masked_array(x) else as_array(x, name)
    steps = None
    if rare is not None or type(x) is not np.ndarray:
        steps, missing, progress = rare or (None, _ORDINARY, None)
        if progress is not None:
            what = mode, axes, boundary, fill_value, method, check, workers, out, flip, (steps, missing, None)
            with reporting(progress):
                return convolved(x, kernel, dimensions, name, *what)
        if type(x) is not np.ndarray or any(given is not usual for given, usual in zip(missing, _ORDINARY)):
            options = boundary, fill_value, method, check, workers, out, flip, steps, missing
            return _convolved_known(x, kernel, dimensions, name, mode, axes, *options)
    if type(kernel) is not np.ndarray:
        kernel = as_array(kernel, "kernel")
    x, kernel = x.view(), kernel.view()
    if type(fill_value) is not int or x.nbytes > _PINNED_BYTES:
        _pins = pinned(x, kernel)  # methods of the fill value, or other threads, may resize the arrays
    if (kernel.ndim != dimensions or x.ndim < dimensions) and dimensions:
        x, kernel = as_dimensions(x, kernel, dimensions, name)
    if axes is not LAST_TWO and (dimensions >= 2 or type(axes[0]) is not int):
        axes = as_axes(axes, dimensions, x.ndim, "axis" if dimensions == 1 else "axes")
    if workers is not None:
        workers = as_workers(workers)
    guarantee = FOOTPRINT if check is True or as_bool(check, "check") else RAW
    if steps is not None:
        stride, dilation, start, lags = steps
        steps = as_steps(stride, dilation, start, lags, len(axes))
    prepared = find(
        name,
        x.dtype,
        x.shape,
        kernel.dtype,
        kernel.shape,
        mode,
        axes,
        boundary,
        fill_value,
        method,
        flip,
        guarantee,
        steps,
    )
    if out is not None:
        given = as_out(out, prepared.shape, prepared.dtype)
        _out_pins = pinned(given) if x.nbytes > _PINNED_BYTES else ()
        if not (may_share_memory(given, x) or may_share_memory(given, kernel) or overlaps_itself(given)):
            prepared(x, kernel, given, workers)
            return out
    result = np.empty(prepared.shape, prepared.dtype)
    prepared(x, kernel, result, workers)
    if out is None:
        return result
    copy(given, result)
    return out


def _convolved_known(
    x, kernel, dimensions, name, mode, axes, boundary, fill_value, method, check, workers, out, flip, steps, missing
):
    """As `convolved`, where samples may be missing."""
    nan, weights, min_weight, return_weight, normalize, missing_value = missing
    x, known, masked = missing_calls.unmasked(x, name)
    kernel = as_array(kernel, "kernel").view()
    _pins = pinned(x, kernel)
    if dimensions:
        x, kernel = as_dimensions(x, kernel, dimensions, name)
        axes = as_axes(axes, dimensions, x.ndim, "axis" if dimensions == 1 else "axes")
    if weights is None and not masked and as_choice(nan, "nan", NAN) == "propagate":
        refuse_unused(min_weight, return_weight, normalize, missing_value)
        options = boundary, fill_value, method, check, workers, out, flip, (steps, _ORDINARY, None)
        return convolved(x, kernel, dimensions, name, mode, axes, *options)
    return_weight = as_bool(return_weight, "return_weight")
    guarantee = FOOTPRINT if as_bool(check, "check") else RAW
    stride, dilation, start, lags = steps or (1, 1, None, None)
    steps = as_steps(stride, dilation, start, lags, len(axes))
    what = mode, axes, boundary, fill_value, method, flip, guarantee, steps
    treatment = nan, min_weight, normalize, missing_value
    plan = missing_calls.checked(name, x.dtype, x.shape, kernel, *what, *treatment)
    if weights is not None:
        weights = missing_calls.as_weights(weights, x.shape, plan.dtype)
    return missing_calls.run(plan, x, known, weights, masked, out, return_weight, as_workers(workers))
