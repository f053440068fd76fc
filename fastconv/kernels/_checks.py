"""Checks of arguments that kernels share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastconv._model.arguments import as_finite
from fastconv._model.message_formatting import shown

_T = TypeVar("_T")

# 1 GB of float32, 2 of float64.
MOST_TAPS = 1 << 28


def check_size(names: str, down: float, right: float) -> None:
    """Raise if a kernel that reaches `down` and `right` pixels from its centre has more than `MOST_TAPS` taps."""
    taps = (2 * down + 1) * (2 * right + 1)
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


def positive(value: Any, name: str) -> float:
    return as_finite(value, name, positive=True)
