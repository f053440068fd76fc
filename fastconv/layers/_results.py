"""The result of a layer: the caller's `out`, or a new array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._model.checks import as_out, overlaps_itself
from fastconv._runtime.aligned_arrays import aligned_empty
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options


def written(
    fill: Callable[[np.ndarray], None],
    shape: tuple[int, ...],
    dtype: np.dtype,
    options: Options,
    single: bool,
    out: Any,
    inputs: tuple[np.ndarray, ...],
) -> NDArray:
    """Fill a new array, or `out`, and return it; `shape` is of the order (number, channels, ...).

    `out` may overlap the inputs: then it is filled by way of a new array.
    """
    returned = _arguments.in_layout(shape, options, single)
    _arguments.check_size(shape, dtype)
    given = None
    if out is not None:
        given = as_out(out, returned, dtype)
        _out_pins = pinned(given)
        if not overlaps_itself(given) and not any(may_share_memory(given, array) for array in inputs):
            fill(_arguments.in_order(given[np.newaxis] if single else given, options))
            return out
    result = aligned_empty(returned, dtype)
    fill(_arguments.in_order(result[np.newaxis] if single else result, options))
    if given is None:
        return result
    copy(given, result)
    return out
