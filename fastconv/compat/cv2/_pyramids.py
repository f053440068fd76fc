"""OpenCV's steps of a Gaussian pyramid: a picture of half the size, and one of twice the size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv._planning.pictures import pyramids
from fastconv.compat.cv2._arguments import ASSERTION, BAD_FORMAT, as_integer, as_mat, as_pair, error
from fastconv.compat.cv2._filter import (
    BORDER_CONSTANT,
    BORDER_DEFAULT,
    BORDER_ISOLATED,
    boundary,
    destination,
    returned,
    stored,
)

# Types of pixels.
_TYPES = "u1", "u2", "i2", "f4", "f8"


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
    _check_type(x.dtype)
    border = as_integer(borderType, "borderType", BORDER_DEFAULT)
    if border & ~BORDER_ISOLATED == BORDER_CONSTANT:
        raise error(f"borderType must not be {BORDER_CONSTANT}", ASSERTION)
    rows, columns = _size(dstsize, [(extent + 1) // 2 for extent in x.shape[:2]])
    if abs(2 * rows - x.shape[0]) > 2 or abs(2 * columns - x.shape[1]) > 2:
        raise error(f"dstsize must be half of {x.shape[1]} x {x.shape[0]}; got {columns} x {rows}", ASSERTION)
    outside = boundary(border, wraps=True)
    request = pyramids.Request(x.dtype.newbyteorder("="), _shape(x), (rows, columns), outside, doubles=False)
    return _filled(request, x, (rows, columns, *x.shape[2:]), dst)


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
    _check_type(x.dtype)
    if as_integer(borderType, "borderType", BORDER_DEFAULT) != BORDER_DEFAULT:
        raise error(f"borderType must be {BORDER_DEFAULT}; got {borderType}", ASSERTION)
    height, width = 2 * x.shape[0], 2 * x.shape[1]
    rows, columns = _size(dstsize, [height, width])
    if abs(rows - height) != rows % 2 or abs(columns - width) != columns % 2:
        raise error(f"dstsize must be twice {x.shape[1]} x {x.shape[0]}; got {columns} x {rows}", ASSERTION)
    request = pyramids.Request(x.dtype.newbyteorder("="), _shape(x), (height, width), "", doubles=True)
    if (rows, columns) == (height, width):
        return _filled(request, x, (rows, columns, *x.shape[2:]), dst)
    out = np.empty((max(rows, height), max(columns, width), *x.shape[2:]), request.dtype)
    pyramids.find(request)(_with_channels(x), _with_channels(out[:height, :width]), None)
    # An odd size has a last row, or column, that repeats an even one.
    if columns > width:
        out[:height, width] = out[:height, width - 1]
    if rows > height:
        out[height] = out[height - 2]
    return stored(out[:rows, :columns], dst)


def _filled(request: pyramids.Request, x: NDArray, shape: tuple[int, ...], dst: NDArray | None) -> NDArray:
    """Return the result in `dst` if shape and type fit, else in a new array."""
    given, out = destination(x, shape, request.dtype, dst)
    pyramids.find(request)(_with_channels(x), _with_channels(out), None)
    return returned(given, out, dst)


def _with_channels(x: NDArray) -> NDArray:
    return x if x.ndim == 3 else x[..., np.newaxis]


def _shape(x: NDArray) -> tuple[int, int, int]:
    return x.shape[0], x.shape[1], 1 if x.ndim == 2 else x.shape[2]


def _check_type(dtype: np.dtype) -> None:
    if dtype.str[1:] not in _TYPES:
        raise error(f"src must be of type uint8, uint16, int16, float32, float64; got {dtype}", BAD_FORMAT)


def _size(given: tuple[int, int] | None, default: list[int]) -> tuple[int, int]:
    """Return rows and columns; a size that is not positive stands for the default."""
    width, height = as_pair(given, "dstsize", (0, 0))
    if width <= 0 or height <= 0:
        height, width = default
    return height, width
