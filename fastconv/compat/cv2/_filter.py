"""The operation behind all linear filters of OpenCV: correlate a picture with a kernel, aligned by an anchor."""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple

import numpy as np

from fastconv._engines.numpy_engine import NumpyEngine
from fastconv._model.separability import Separable
from fastconv._planning.method_choice import Prepared
from fastconv._planning.pictures import picture_plans
from fastconv._runtime.cpu_limits import check_variable
from fastconv._runtime.interruptible_numpy import copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv.compat._unsupported import Unsupported
from fastconv.compat.cv2._arguments import as_dst, error

BORDER_CONSTANT, BORDER_REPLICATE, BORDER_REFLECT, BORDER_WRAP, BORDER_REFLECT_101, BORDER_TRANSPARENT = range(6)
BORDER_DEFAULT = BORDER_REFLECT_101
# A flag for regions of interest, without effect on arrays.
BORDER_ISOLATED = 16

_BOUNDARIES = {
    BORDER_CONSTANT: "zero",
    BORDER_REPLICATE: "nearest",
    BORDER_REFLECT: "reflect",
    BORDER_REFLECT_101: "mirror",
}
_WITH_WRAP = {**_BOUNDARIES, BORDER_WRAP: "wrap"}


def boundary(border: int, wraps: bool = False) -> str:
    """Return fastconv's name for a border."""
    allowed = _WITH_WRAP if wraps else _BOUNDARIES
    found = allowed.get(border) or allowed.get(border & ~BORDER_ISOLATED)
    if found is None:
        numbers = ", ".join(map(str, allowed))
        raise error(f"borderType must be one of {numbers}, or that with {BORDER_ISOLATED} added; got {border}")
    return found


class Filter(NamedTuple):
    """A filter prepared for one type, shape, kernel and border."""

    dtype: np.dtype
    prepared: Prepared
    run: Callable[..., Any] | None  # of the engine, if there is nothing left to decide at each call
    kernel: Any

    @property
    def nbytes(self) -> int:
        return self.prepared.nbytes


def prepare(
    x_dtype: np.dtype,
    x_shape: tuple[int, ...],
    dtype: np.dtype,
    taps: np.ndarray | Separable,
    anchor: tuple[int, int],
    border: str,
    scale: float,
    offset: float,
    mode: str = "same",
) -> Filter:
    """Prepare a correlation: ``sum / scale + offset`` of type `dtype`, rounded half to even and saturated.

    `taps` are float64, in 2 dimensions, and the anchor is x and y, for mode 'same'.
    """
    check_variable()  # before errors of the arguments
    if not math.isfinite(offset):
        raise Unsupported(f"delta must be finite for fastconv; got {offset}")
    request = picture_plans.Request(
        x_dtype=x_dtype,
        x_shape=x_shape,
        dtype=dtype,
        mode=mode,
        axes=(0, 1),
        boundary=border,
        fill_value=0,
        scale=scale,
        offset=offset,
        flip=False,
        premultiplied=False,
        spans=None
        if mode != "same"
        else tuple((extent, taps.shape[axis] - 1 - anchor[1 - axis]) for axis, extent in enumerate(x_shape[:2])),
    )
    try:
        prepared = picture_plans.make(request, taps).prepared
    except ValueError as problem:
        raise Unsupported(str(problem)) from None
    settled = not (prepared.inner or prepared.looks or isinstance(prepared.engine, NumpyEngine))
    return Filter(dtype, prepared, prepared.engine.run if settled else None, prepared.kernel)


def fill(found: Filter, x: np.ndarray, dst: Any) -> np.ndarray:
    """Filter `x` into `dst` if shape and type fit, else into a new array; return it."""
    given, out = destination(x, x.shape, found.dtype, dst)
    if found.run is not None:
        found.run(x, found.kernel, out, None)
    else:
        found.prepared.run(x, out, None)
    return returned(given, out, dst)


def destination(
    x: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, dst: Any
) -> tuple[np.ndarray | None, np.ndarray]:
    """`dst` if shape and type fit, else None; and the array to write to, a new one where `dst` cannot be."""
    given = None if dst is None else as_dst(dst, shape, dtype)
    if given is not None and given.dtype == dtype and not may_share_memory(given, x):
        return given, given
    return given, np.empty(shape, dtype)


def returned(given: np.ndarray | None, out: np.ndarray, dst: Any) -> np.ndarray:
    """What a function returns that has written to a `destination`."""
    if given is None:
        return out
    if given is not out:
        copy(given, out)
    return dst


def half_up_offset(scale: float) -> float:
    """Return the offset with which integer sums divided by `scale` round halves up instead of to even.

    It is less than half a unit, so that sums of 24 bits, which leave no room for it, do not become the next ones.
    """
    return 0.499 / scale if scale % 2 == 0 else 0.0


def stored(found: np.ndarray, dst: np.ndarray | None) -> np.ndarray:
    """Return the result in `dst` if shape and type fit, else C-contiguous."""
    place = None if dst is None else as_dst(dst, found.shape, found.dtype)
    if dst is None or place is None:
        return np.ascontiguousarray(found)
    copy(place, found)
    return dst
