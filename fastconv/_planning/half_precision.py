"""Results of float16, which are computed in single precision and rounded once."""

from __future__ import annotations

import contextlib
from typing import Iterator

import numpy as np

from fastconv._runtime.interruptible_numpy import copy

SINGLE = np.dtype(np.float32)


def is_half(dtype: np.dtype) -> bool:
    """True for float16 of any byte order."""
    return dtype.char == "e"


@contextlib.contextmanager
def rounded(out: np.ndarray) -> Iterator[np.ndarray]:
    """An array of single precision to be filled, which is rounded into `out` at the end."""
    single = np.empty(out.shape, SINGLE)
    yield single
    copy(out, single)
