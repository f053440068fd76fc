"""Samples of which some are missing: the options, the sums of a kernel, and which outputs no missing sample touches.

With ``w`` the weight of a sample, 0 for a missing one, and sums over the taps ``k`` of an output::

    result = sum(k * w * x) / sum(k * w) * sum(k)         if `normalize`
    result = sum(k * w * x) / share                       if not
    share = sum(|k| * w) / sum(|k|)

a normalized convolution (H. Knutsson and C.-F. Westin, CVPR 1993). Where ``share <= min_weight`` too little is known.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.arguments import as_bool, as_choice, as_fill_value, as_finite
from fastconv._model.message_formatting import shown
from fastconv._model.separability import Separable

NAN = ("propagate", "ignore")


class Missing(NamedTuple):
    """What a problem does about missing samples; weights, which are arrays, are passed beside it."""

    ignores_nan: bool
    min_weight: float
    normalize: bool
    value: Any  # the result where too little is known


class KernelSums(NamedTuple):
    """Sums of a kernel: of its taps, and of their sizes; and their sign, 0 if they have both or are complex.

    Of a kernel for each line both sums are arrays, of the extents along all axes but those of the taps.
    """

    total: Any
    size: Any
    sign: int

    @classmethod
    def of(
        cls, kernel: np.ndarray | Separable, dtypes: tuple[np.dtype, ...], normalize: bool, axes: int = 2
    ) -> KernelSums:
        """Sums of the taps along the last `axes`, rounded to `dtypes`; raise if no result could be computed."""
        lines = kernel.lines if isinstance(kernel, Separable) else (kernel,)
        along = tuple(range(-axes, 0)) if isinstance(kernel, np.ndarray) and kernel.ndim > axes else None
        with np.errstate(all="ignore"):
            total = math.prod(line.sum(dtype=_WIDE[line.dtype.kind], axis=along) for line in lines)
            absolute = (np.abs(line.astype(np.result_type(line.dtype, *dtypes))) for line in lines)
            sizes = math.prod(line.sum(dtype=np.longdouble, axis=along) for line in absolute)
            wide = np.longdouble if any(dtype.char in "gG" for dtype in dtypes) else float
            size = wide(sizes) if along is None else sizes.astype(wide)
            most = np.finfo(np.result_type(np.float32, *dtypes)).max  # sums of float16 are of float32
            wrong = ~((np.asarray(size) > 0) & (size <= most) & (size != math.inf))
            if wrong.any():
                raise ValueError(
                    "kernel must be finite, with a tap that is not 0, and a sum of absolute taps that the type of the "
                    f"result can hold, where samples may be missing; that sum is {_first(size, wrong):.3g}"
                )
            signs = (1, -1) if kernel.dtype.kind != "c" else ()
            same = [[(sign * line >= 0).all() for line in lines] for sign in signs]
            sign = next((sign for sign, found in zip(signs, same) if all(found)), 0)
            sign = 1 if sign and len(lines) % 2 == 0 else sign
            eps = max(float(np.finfo(each).eps) for each in dtypes if each.kind in "fc")
            taps = kernel.size if along is None else math.prod(kernel.shape[-axes:])
            wrong = ~(np.abs(np.asarray(total)) > taps * eps * size)
            if normalize and not sign and wrong.any():
                raise ValueError(
                    "kernel must have a sum other than 0 for results that are normalized by it; got "
                    f"{_first(total, wrong):.3g}. With normalize=False sums are divided by the share that is known"
                )
        return cls(total, size, sign)


def _first(numbers, wrong: np.ndarray) -> Any:
    """The first of some numbers that is wrong."""
    return np.asarray(numbers)[wrong].flat[0]


_WIDE = {"b": np.int64, "i": np.longdouble, "u": np.longdouble, "f": np.longdouble, "c": np.clongdouble}


def as_missing(nan, min_weight, normalize, missing_value, dtype: np.dtype) -> Missing:
    """Check the options for results of `dtype`."""
    ignores_nan = as_choice(nan, "nan", NAN) == "ignore"
    least = as_finite(min_weight, "min_weight")
    if not 0 <= least < 1:
        raise ValueError(f"min_weight must lie in 0 .. 1, and be less than 1; got {shown(min_weight)}")
    value: Any = 0
    if missing_value is not None:
        value = as_fill_value(missing_value, dtype, "missing_value")
    elif dtype.kind in "fc":
        value = math.nan
    return Missing(ignores_nan, least, as_bool(normalize, "normalize"), value)


def largest_unknown(size, least):
    """The largest sum of sizes whose share of `size`, a number or an array of the same type, is at most `least`."""
    found = size * least
    if not np.any(found):
        return found
    if found.ndim:
        return np.array([largest_unknown(one, least) for one in size.flat], size.dtype).reshape(size.shape)
    while not found / size <= least:
        found = np.nextafter(found, size.dtype.type(0))
    while np.nextafter(found, size) / size <= least:
        found = np.nextafter(found, size)
    return found


def refuse_unused(min_weight, return_weight, normalize, missing_value) -> None:
    """Refuse options that are of no use where no samples can be missing."""
    usual = type(min_weight) is float and min_weight == 0 and return_weight is False
    if usual and normalize is True and missing_value is None:
        return
    given = (
        ("min_weight", min_weight, as_finite(min_weight, "min_weight") == 0),
        ("return_weight", return_weight, not as_bool(return_weight, "return_weight")),
        ("normalize", normalize, as_bool(normalize, "normalize")),
        ("missing_value", missing_value, missing_value is None),
    )
    for name, value, is_default in given:
        if not is_default:
            raise ValueError(f"{name} is for nan='ignore', weights, and masked arrays only; got {name}={shown(value)}")


def result_dtype(name: str, x_dtype: np.dtype, kernel_dtype: np.dtype) -> np.dtype:
    """Type of a normalized result: a float, of 64 bits for integers."""
    dtype = np.result_type(x_dtype, kernel_dtype)
    if dtype.kind == "O":
        raise TypeError(
            f"{name} and kernel must hold numbers of a fixed size where samples may be missing; got objects"
        )
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype
