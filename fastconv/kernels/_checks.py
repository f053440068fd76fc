"""Checks of arguments that kernels share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastconv._model.arguments import as_finite
from fastconv._model.message_formatting import shown

_T = TypeVar("_T")

# 1 GB of float32, 2 of float64.
MOST_TAPS = 1 << 28


def check_size(names: str, *reaches: float) -> None:
    """Raise if a kernel that reaches so many pixels from its centre along each axis has more than `MOST_TAPS` taps."""
    taps = math.prod(2 * reach + 1 for reach in reaches)
    if not taps <= MOST_TAPS:
        raise ValueError(f"{names} must give a kernel of at most {MOST_TAPS} taps; got about {taps:.3g}")


def pair(value: Any, name: str, check: Callable[[Any, str], _T]) -> tuple[_T, _T]:
    """Apply `check` to one value for both axes, or to a pair of values."""
    if not isinstance(value, (tuple, list)) and not (isinstance(value, np.ndarray) and value.ndim):
        one = check(value, name)
        return one, one
    if len(value) != 2:
        raise ValueError(f"{name} must be one number, or two for (rows, columns); got {shown(value)}")
    return check(value[0], f"{name}[0]"), check(value[1], f"{name}[1]")


def each(value: Any, name: str, check: Callable[[Any, str], _T], count: int) -> tuple[_T, ...]:
    """Apply `check` to one value for `count` axes, or to a sequence of values."""
    if count == 2:
        return pair(value, name, check)
    if not isinstance(value, (tuple, list)) and not (isinstance(value, np.ndarray) and value.ndim):
        return (check(value, name),) * count
    if len(value) != count:
        raise ValueError(f"{name} must be one number, or one for each of {count} axes; got {shown(value)}")
    return tuple(check(one, f"{name}[{k}]") for k, one in enumerate(value))


def positive(value: Any, name: str) -> float:
    return as_finite(value, name, positive=True)
