"""OpenCV's steps of a Gaussian pyramid: a picture of half the size, and one of twice the size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, copy
from fastconv.compat.cv2._arguments import ASSERTION, BAD_FORMAT, as_integer, as_mat, as_pair, error
from fastconv.compat.cv2._filter import (
    BORDER_CONSTANT,
    BORDER_DEFAULT,
    Filter,
    boundary,
    half_up_offset,
    prepare,
    stored,
)
from fastconv.convolution import correlate2d

_TAPS = np.array([1, 4, 6, 4, 1])
# Taps of the even and of the odd pixels of twice the size.
_PHASES = (np.array([1.0, 6.0, 1.0]), np.array([4.0, 4.0]))
# Types of pixels, with the types of their sums.
_SUMS = {"u1": np.uint16, "u2": np.int32, "i2": np.int32, "f4": np.float32, "f8": np.float64}


def pyrDown(
    src: NDArray,
    dst: NDArray | None = None,
    dstsize: tuple[int, int] | None = None,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Blur a picture and take every second pixel, as `cv2.pyrDown`.

    The kernel is the outer product of ``[1, 4, 6, 4, 1] / 16`` with itself.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture, of uint8, uint16, int16, float32 or float64.
    dst : ndarray, optional
        Array for the result.
    dstsize : pair of int, optional
        Width and height of the result, by default ``(W + 1) // 2`` and ``(H + 1) // 2``. Twice these may differ from
        W and H by 2.
    borderType : int
        As for `filter2D`, but not ``BORDER_CONSTANT``; also ``BORDER_WRAP``.

    Returns
    -------
    ndarray
        `dst`, or a new array. Integers are rounded to the nearest, halves up.

    Raises
    ------
    error
        For arrays of other shapes or types, another size or border, and arguments of the wrong type.

    See Also
    --------
    pyrUp : The step to twice the size.
    fastconv.convolve2d : With `stride`, for other kernels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.pyrDown(np.array([[0, 0, 160, 0, 0, 0]], np.uint8))
    array([[20, 60, 10]], dtype=uint8)
    """
    x = as_mat(src, "src")
    sums_type = _sums(x.dtype)
    border = as_integer(borderType, "borderType", BORDER_DEFAULT)
    if border == BORDER_CONSTANT:
        raise error(f"borderType must not be {BORDER_CONSTANT}", ASSERTION)
    rows, columns = _size(dstsize, [(extent + 1) // 2 for extent in x.shape[:2]])
    if abs(2 * rows - x.shape[0]) > 2 or abs(2 * columns - x.shape[1]) > 2:
        raise error(f"dstsize must be half of {x.shape[1]} x {x.shape[0]}; got {columns} x {rows}", ASSERTION)
    taps = np.multiply.outer(_TAPS, _TAPS).astype(sums_type)
    is_float = x.dtype.kind == "f"
    if is_float:
        taps /= 256
    outside: Any = boundary(border, wraps=True)
    enlarged = 2 * rows > x.shape[0] + 1 or 2 * columns > x.shape[1] + 1
    mode: Any = "full" if enlarged else "same"
    sums = correlate2d(x, taps, mode, axes=(0, 1), boundary=outside, start="center", stride=2)[:rows, :columns]
    if is_float:
        return stored(sums, dst)
    out = np.empty(sums.shape, x.dtype.newbyteorder("="))
    for chunk in chunk_slices(sums.shape):
        part = sums[chunk]
        part += 128
        part >>= 8
        out[chunk] = part
    return stored(out, dst)


def pyrUp(
    src: NDArray,
    dst: NDArray | None = None,
    dstsize: tuple[int, int] | None = None,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Enlarge a picture to twice its size, as `cv2.pyrUp`.

    Zeros are put between the pixels; then it is blurred with four times the kernel of `pyrDown`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture, of uint8, uint16, int16, float32 or float64.
    dst : ndarray, optional
        Array for the result.
    dstsize : pair of int, optional
        Width and height of the result, by default ``2 * W`` and ``2 * H``; one pixel more or less is allowed.
    borderType : int
        ``BORDER_DEFAULT``.

    Returns
    -------
    ndarray
        `dst`, or a new array. Integers are rounded to the nearest, halves up.

    Raises
    ------
    error
        For arrays of other shapes or types, another size or border, and arguments of the wrong type.

    See Also
    --------
    pyrDown : The step to half the size.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.pyrUp(np.array([[0, 80, 0]], np.uint8))
    array([[20, 40, 60, 40, 10,  0],
           [20, 40, 60, 40, 10,  0]], dtype=uint8)
    """
    x = as_mat(src, "src")
    _sums(x.dtype)
    if as_integer(borderType, "borderType", BORDER_DEFAULT) != BORDER_DEFAULT:
        raise error(f"borderType must be {BORDER_DEFAULT}; got {borderType}", ASSERTION)
    height, width = 2 * x.shape[0], 2 * x.shape[1]
    rows, columns = _size(dstsize, [height, width])
    if abs(rows - height) != rows % 2 or abs(columns - width) != columns % 2:
        raise error(f"dstsize must be twice {x.shape[1]} x {x.shape[0]}; got {columns} x {rows}", ASSERTION)
    out = np.empty((max(rows, height), max(columns, width), *x.shape[2:]), x.dtype.newbyteorder("="))
    extended = _extended(x, out.dtype)
    for i, j in np.ndindex(2, 2):
        found = _prepare_phase(extended.dtype, (extended.shape[0] - i, extended.shape[1] - j, *x.shape[2:]), i, j)
        found.prepared.run(extended[i:, j:], out[i:height:2, j:width:2], None)
    # An odd size has a last row, or column, that repeats an even one.
    if columns > width:
        out[:height, width] = out[:height, width - 1]
    if rows > height:
        out[height] = out[height - 2]
    return stored(out[:rows, :columns], dst)


@kept
def _prepare_phase(dtype, shape, i, j) -> Filter:
    taps = np.multiply.outer(_PHASES[i], _PHASES[j])
    offset = half_up_offset(64.0) if dtype.kind != "f" else 0.0
    return prepare(dtype, shape, dtype, taps, (0, 0), "zero", 64.0, offset, mode="valid")


def _extended(x: NDArray, dtype: np.dtype) -> NDArray:
    """Return `x` with one row and column more on each side: mirrored in front, repeated at the end."""
    rows, columns = (np.r_[min(1, extent - 1), :extent, extent - 1] for extent in x.shape[:2])
    found = np.empty((len(rows), len(columns), *x.shape[2:]), dtype)
    copy(found[1:-1, 1:-1], x)
    found[1:-1, [0, -1]] = x[:, columns[[0, -1]]]
    found[[0, -1]] = found[1:-1][rows[[0, -1]]]
    return found


def _sums(dtype: np.dtype) -> type:
    found = _SUMS.get(dtype.str[1:])
    if found is None:
        raise error(f"src must be of type uint8, uint16, int16, float32, float64; got {dtype}", BAD_FORMAT)
    return found


def _size(given: tuple[int, int] | None, default: list[int]) -> tuple[int, int]:
    """Return rows and columns; a size that is not positive stands for the default."""
    width, height = as_pair(given, "dstsize", (0, 0))
    if width <= 0 or height <= 0:
        height, width = default
    return height, width
