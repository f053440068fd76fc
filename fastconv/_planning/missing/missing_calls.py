"""Calls of convolutions of samples of which some are missing: options, weights and masked arrays, around a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_choices,
    as_fill_value,
    check_no_fill_value,
    is_masked_array,
    plain_array,
)
from fastconv._model.checks import as_out, check_operands, overlaps_itself
from fastconv._model.message_formatting import clipped
from fastconv._model.missing_data import as_missing, result_dtype
from fastconv._model.steps import Steps
from fastconv._planning.missing.missing_plans import MissingPlan, Request, find
from fastconv._planning.sweeps import as_sweeps, check_valid
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import chunk_slices, copy
from fastconv._runtime.memory_maps import may_share_memory


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
    check_valid(name, as_sweeps(x_shape, taps, axes, mode, boundary, steps), mode)
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
    inputs = [array for array in (x, weights) if array is not None]
    apart = given is not None and not (overlaps_itself(given) or any(may_share_memory(given, each) for each in inputs))
    _out_pins = () if given is None else pinned(given)
    result = given if given is not None and apart else np.empty(plan.shape, plan.dtype)
    real = plan.shares_dtype
    shares = np.empty(plan.shape, real) if return_weight or masked else None
    plan(x, weights, result, shares, workers)
    if given is not None and result is not given:
        copy(given, result)
    answer: Any = result if out is None else out
    if masked and shares is not None:
        unknown = ~(shares > real.type(plan.request.missing.min_weight))
        if out is None:
            answer = np.ma.MaskedArray(result, unknown)
        elif is_masked_array(out):
            out.mask = unknown  # type: ignore[attr-defined]
    return (answer, shares) if return_weight else answer
