"""Drop-in replacements for OpenCV's linear filters: same names, arguments, alignment, types and rounding.

Arrays are of shape (H, W) or (H, W, C) with at most 128 channels, and of uint8, uint16, int16, float32 or float64 (and
int32 for `boxFilter` and `blur`). As in OpenCV 5, a single channel is returned without its axis, (H, W, 1) as (H, W),
an array of one dimension as a row, (1, N), and kernels of one dimension are rows; `dst` is written and returned if it
has the result's shape and type, else left unchanged.

Results are rounded half to even and saturated, as in OpenCV, with its exceptions: `pyrDown` and `pyrUp` round halves
up, and for uint8 so do `blur` and `boxFilter` of at most 256 pixels, and `GaussianBlur`, whose taps are multiples of
1/256. Sums of float32, and of integers with taps that are not multiples of a power of two, are float32 as in OpenCV,
but in another order: an integer result may differ by 1 if its sum is within rounding error of a half.

Known bugs of OpenCV are not copied:

- `filter2D` uses a DFT for kernels of about 11 x 11 and more, and then one NaN or infinity turns every pixel into NaN.
  Here it affects only the pixels whose kernel covers it.
- A byte-swapped (big-endian) input or `dst` gives garbage there, the correct result here.
- `blur` and `boxFilter` of uint8 over 2, 4, 8 ... 256 pixels have a bias before they round: a picture of constant 10
  becomes 11 for a `ksize` of (2, 1). Here it stays 10.
- In means of a picture of one row or one column, ``BORDER_CONSTANT`` with ``BORDER_ISOLATED`` omits the zeros above and
  below, or on both sides. Here they count, as without ``BORDER_ISOLATED``.
- Means of uint16 sometimes miss a half; here they round it to even.
- Sums of 16 bits with large integer taps, such as Sobel's of 9x9, are rounded in float32, and beyond the range of int32
  become the minimum. Here they are exact, and saturate.
- Negative means sometimes become the maximum of an unsigned type. Here they are 0.
- A float beyond the range of int32 is converted to 0 or to the minimum there; here it saturates. NaN and infinity
  become an arbitrary integer in both.
- `getGaussianKernel` of an even size sets both taps in the middle to 1 before it normalizes, and ends the process for
  a negative size. Here all taps follow the formula, and a negative size is an error.
- `pyrDown` to more than half of an even width has a last column that depends on the pixels' type; here it is that of
  the border. `pyrUp` of a single column to three leaves the third uninitialized; here it repeats the second.
- A source and a `dst` that overlap in part give garbage there, the correct result here.

Other differences:

- Errors have OpenCV's `code` and fastconv's message. Once OpenCV is imported, by the program or for one of its other
  functions, their class is derived from `cv2.error`, and `error` is that class here too. Missing and unknown arguments
  are TypeErrors, as for any Python function.
- `matchTemplate` of float32 sums in float64. Of uint8, products of differences from means are summed in float32, and
  all other sums are exact; OpenCV transforms the pixels themselves in float32, so that its sums of products differ by
  some parts in a million of the largest, and normalized ones by that over the norms.
- A zero tap times a NaN or an infinity is a NaN, as in NumPy; OpenCV skips some zero taps, depending on the size.

`fastconv.compat.Unsupported` is raised for arguments that only OpenCV supports: numbers and tuples in place of arrays,
`cv2.UMat` and its other objects, a `mask` of `matchTemplate`, kernels that hold an infinity or a NaN or whose sums may
overflow, a `delta` that is not finite, and a `ksize` of more than 4 million pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.message_formatting import clipped
from fastconv._model.separability import Separable
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import converted
from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat.cv2._arguments import (
    ASSERTION,
    as_anchor,
    as_integer,
    as_mat,
    as_number,
    as_pair,
    as_taps,
    as_truth,
    original_error,
)
from fastconv.compat.cv2._arguments import error as own_error
from fastconv.compat.cv2._depths import (
    CV_8S,
    CV_8U,
    CV_16F,
    CV_16S,
    CV_16U,
    CV_32F,
    CV_32S,
    CV_64F,
    result_type,
)
from fastconv.compat.cv2._filter import (
    BORDER_CONSTANT,
    BORDER_DEFAULT,
    BORDER_ISOLATED,
    BORDER_REFLECT,
    BORDER_REFLECT_101,
    BORDER_REPLICATE,
    BORDER_TRANSPARENT,
    BORDER_WRAP,
    Filter,
    boundary,
    fill,
    half_up_offset,
    prepare,
)
from fastconv.compat.cv2._kernels import check_taps, derivatives, gaussian, gaussian_size, whole
from fastconv.compat.cv2._pyramids import pyrDown, pyrUp
from fastconv.compat.cv2._returned_kernels import getDerivKernels, getGaborKernel, getGaussianKernel
from fastconv.compat.cv2._templates import (
    TM_CCOEFF,
    TM_CCOEFF_NORMED,
    TM_CCORR,
    TM_CCORR_NORMED,
    TM_SQDIFF,
    TM_SQDIFF_NORMED,
    matchTemplate,
)

__all__ = [
    "BORDER_CONSTANT",
    "BORDER_DEFAULT",
    "BORDER_ISOLATED",
    "BORDER_REFLECT",
    "BORDER_REFLECT101",
    "BORDER_REFLECT_101",
    "BORDER_REPLICATE",
    "BORDER_TRANSPARENT",
    "BORDER_WRAP",
    "CV_8S",
    "CV_8U",
    "CV_16F",
    "CV_16S",
    "CV_16U",
    "CV_32F",
    "CV_32S",
    "CV_64F",
    "FILTER_SCHARR",
    "TM_CCOEFF",
    "TM_CCOEFF_NORMED",
    "TM_CCORR",
    "TM_CCORR_NORMED",
    "TM_SQDIFF",
    "TM_SQDIFF_NORMED",
    "GaussianBlur",
    "Laplacian",
    "Scharr",
    "Sobel",
    "blur",
    "boxFilter",
    "error",
    "filter2D",
    "getDerivKernels",
    "getGaborKernel",
    "getGaussianKernel",
    "matchTemplate",
    "pyrDown",
    "pyrUp",
    "sepFilter2D",
]
_of_original, __dir__ = completed(__name__, "cv2")
is_native = nativeness(__name__)


def __getattr__(name: str) -> Any:
    """OpenCV's names, and its class of errors once it is imported; those of fastconv are derived from both."""
    if name == "error":
        return original_error() or own_error
    return _of_original(name)


BORDER_REFLECT101 = BORDER_REFLECT_101
FILTER_SCHARR = -1

_MIDDLE = (-1, -1)
# Up to this number of uint8 pixels, OpenCV sums in 16 bits and rounds the mean in integer arithmetic.
_MOST_SUMMED_IN_16_BITS = 256
# Largest factor of a kernel whose outer product is not formed.
_LONGEST_FACTOR = 1 << 13


def filter2D(
    src: NDArray,
    ddepth: int,
    kernel: ArrayLike,
    dst: NDArray | None = None,
    anchor: tuple[int, int] = _MIDDLE,
    delta: float = 0,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Correlate a picture with a kernel, as `cv2.filter2D`: the kernel is not flipped.

    With the anchor's x and y, ``dst[r, c] = delta + sum over i, j of kernel[i, j] * src[r + i - y, c + j - x]``.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture; channels are filtered separately.
    ddepth : int
        The depth of the result, or -1 for that of `src`: uint8, uint16, int16, float32 or float64 for uint8; the same,
        float32 or float64 for uint16 and int16; the same for floats.
    kernel : ndarray, shape (K, L)
        The taps.
    dst : ndarray, optional
        Array for the result. It may be `src`.
    anchor : pair of int
        Column and row (x and y) of the tap above the output pixel; -1 stands for ``L // 2`` and ``K // 2``.
    delta : float
        Added to each sum before rounding.
    borderType : int
        ``BORDER_CONSTANT`` (zeros), ``BORDER_REPLICATE`` (``a a a | a b c``), ``BORDER_REFLECT`` (``c b a | a b c``) or
        ``BORDER_REFLECT_101`` (``d c b | a b c d``); ``BORDER_ISOLATED`` may be added, without effect.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error
        For arrays of other shapes or types, an empty array, an anchor outside of the kernel, another border or depth,
        a `dst` that is read-only or has gaps between its pixels, and arguments of the wrong type.
    Unsupported
        For arguments that only OpenCV supports: see the module docstring.

    See Also
    --------
    fastconv.image.filter : The function for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.filter2D(np.array([[1, 2, 3, 4, 5]], np.uint8), -1, np.array([[0.5]]))
    array([[0, 1, 2, 2, 2]], dtype=uint8)
    >>> cv2.filter2D(np.array([[1, 2, 3, 4]], np.uint8), cv2.CV_16S, np.array([[-1.0, 0.0, 1.0]]))
    array([[0, 2, 2, 0]], dtype=int16)
    """
    x, taps = as_mat(src, "src"), as_taps(kernel, "kernel")
    found = _prepare_filter2d(
        x.dtype,
        x.shape,
        as_integer(ddepth, "ddepth"),
        taps.dtype,
        taps.shape,
        taps.tobytes(),
        anchor if anchor is _MIDDLE else as_pair(anchor, "anchor", _MIDDLE),
        as_number(delta, "delta"),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_filter2d(x_dtype, x_shape, ddepth, dtype, shape, content, anchor, delta, border) -> Filter:
    taps = converted(np.frombuffer(content, dtype).reshape(shape), np.dtype(np.float64))
    result = result_type(x_dtype, ddepth, "filter")
    return prepare(x_dtype, x_shape, result, taps, as_anchor(anchor, shape[1], shape[0]), boundary(border), 1.0, delta)


def sepFilter2D(
    src: NDArray,
    ddepth: int,
    kernelX: NDArray,
    kernelY: NDArray,
    dst: NDArray | None = None,
    anchor: tuple[int, int] = _MIDDLE,
    delta: float = 0,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Correlate a picture along its rows and then down its columns, as `cv2.sepFilter2D`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ddepth : int
        The depth of the result, or -1 for that of `src`: uint8, uint16, int16, float32 or float64, but not float32 for
        a float64 `src`.
    kernelX, kernelY : ndarray, shape (L,), (L, 1) or (1, L), and (K,), (K, 1) or (1, K)
        The taps along the rows, and down the columns; both of one type.
    dst, anchor, delta, borderType : optional
        As for `filter2D`, with a kernel of K x L.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error, Unsupported
        As `filter2D`.

    See Also
    --------
    fastconv.image.filter : The function for new programs.

    Notes
    -----
    OpenCV rounds between the passes if its intermediate type has fewer digits than the sums; here intermediate results
    are float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> dot = np.array([[0, 0, 0], [0, 16, 0], [0, 0, 0]], np.uint8)
    >>> cv2.sepFilter2D(dot, -1, np.array([0.25, 0.5, 0.25]), np.array([0.5, 0.5, 0.0]), borderType=cv2.BORDER_CONSTANT)
    array([[0, 0, 0],
           [2, 4, 2],
           [2, 4, 2]], dtype=uint8)
    """
    x, across, down = as_mat(src, "src"), as_taps(kernelX, "kernelX"), as_taps(kernelY, "kernelY")
    if 1 not in across.shape or 1 not in down.shape or across.dtype != down.dtype:
        raise own_error(
            f"kernelX and kernelY must be rows or columns of one type; got shapes {across.shape} and {down.shape}, "
            f"{clipped(across.dtype)} and {clipped(down.dtype)}",
            ASSERTION,
        )
    found = _prepare_separable(
        x.dtype,
        x.shape,
        as_integer(ddepth, "ddepth"),
        across.dtype,
        across.tobytes(),
        down.tobytes(),
        as_pair(anchor, "anchor", _MIDDLE),
        as_number(delta, "delta"),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_separable(x_dtype, x_shape, ddepth, dtype, across, down, anchor, delta, border) -> Filter:
    row, column = (converted(np.frombuffer(content, dtype), np.dtype(np.float64)) for content in (across, down))
    result = result_type(x_dtype, ddepth, "separable")
    where = as_anchor(anchor, row.size, column.size)
    offset = _rounded_delta(delta, x_dtype, result, row, column, where)
    return prepare(x_dtype, x_shape, result, _outer(column, row), where, boundary(border), 1.0, offset)


def blur(
    src: NDArray,
    ksize: tuple[int, int],
    dst: NDArray | None = None,
    anchor: tuple[int, int] = _MIDDLE,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Take the mean of the pixels in a box, as `cv2.blur`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ksize : pair of int
        Width and height of the box, in pixels.
    dst, anchor, borderType : optional
        As for `filter2D`.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array, of the type of `src`.

    Raises
    ------
    error, Unsupported
        As `filter2D`, and `error` for a `ksize` that is not positive.

    See Also
    --------
    fastconv.kernels.box : The kernel for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.blur(np.array([[0, 0, 90, 0, 0]], np.uint8), (3, 3))
    array([[ 0, 30, 30, 30,  0]], dtype=uint8)
    """
    return boxFilter(src, -1, ksize, dst, anchor, True, borderType)


def boxFilter(
    src: NDArray,
    ddepth: int,
    ksize: tuple[int, int],
    dst: NDArray | None = None,
    anchor: tuple[int, int] = _MIDDLE,
    normalize: bool = True,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Take the mean, or the sum, of the pixels in a box, as `cv2.boxFilter`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ddepth : int
        The depth of the result, or -1 for that of `src`: uint8, uint16, int16, int32, float32 or float64, but not int32
        for floats.
    ksize : pair of int
        Width and height of the box, in pixels.
    dst, anchor, borderType : optional
        As for `filter2D`.
    normalize : bool
        Whether to divide by the number of pixels.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error, Unsupported
        As `filter2D`, and `error` for a `ksize` that is not positive.

    See Also
    --------
    fastconv.kernels.box : The kernel for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.boxFilter(np.array([[0, 0, 90, 0, 0]], np.uint8), cv2.CV_32S, (3, 1), normalize=False)
    array([[ 0, 90, 90, 90,  0]], dtype=int32)
    """
    x = as_mat(src, "src")
    if x.dtype.kind == "i" and x.dtype.itemsize == 8:
        x = x.astype(np.int32)  # as OpenCV's binding does
    found = _prepare_box(
        x.dtype,
        x.shape,
        as_integer(ddepth, "ddepth"),
        as_pair(ksize, "ksize", (0, 0)),
        as_pair(anchor, "anchor", _MIDDLE),
        as_truth(normalize, "normalize", True),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_box(x_dtype, x_shape, ddepth, size, anchor, normalize, border) -> Filter:
    width, height = size
    if width < 1 or height < 1:
        raise own_error(f"ksize must be positive; got {size}", ASSERTION)
    check_taps(width, height)
    result = result_type(x_dtype, ddepth, "box")
    scale, offset = float(width * height) if normalize else 1.0, 0.0
    if x_dtype == result == np.uint8 and scale <= _MOST_SUMMED_IN_16_BITS:
        offset = half_up_offset(scale)
    taps, where = np.ones((height, width)), as_anchor(anchor, width, height)
    return prepare(x_dtype, x_shape, result, taps, where, boundary(border), scale, offset)


def GaussianBlur(
    src: NDArray,
    ksize: tuple[int, int],
    sigmaX: float,
    dst: NDArray | None = None,
    sigmaY: float = 0,
    borderType: int = BORDER_DEFAULT,
    hint: int = 0,
) -> NDArray:
    """Blur with a Gaussian, as `cv2.GaussianBlur`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ksize : pair of int
        Width and height of the kernel in pixels, odd; 0 derives them from sigma: 3 sigma on either side for uint8, 4
        for other types.
    sigmaX, sigmaY : float
        Standard deviations along the rows and down the columns in pixels. `sigmaY` of 0 means `sigmaX`; if both are 0
        they are derived from `ksize`.
    dst, borderType : optional
        As for `filter2D`; for uint8 and uint16 also ``BORDER_WRAP``.
    hint : int
        Accuracy hint of OpenCV; without effect here.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array, of the type of `src`.

    Raises
    ------
    error, Unsupported
        As `filter2D`, and `error` for a `ksize` that is not odd and positive, or 0 with a sigma.

    See Also
    --------
    fastconv.image.gaussian_blur : The function for new programs.

    Notes
    -----
    Taps are multiples of 1/256 for uint8 and of 1/65536 for uint16 with the sum 1, as in OpenCV: the rounding error of
    a tap is carried to the next one towards the middle. Results of uint8 are bit-identical except if a sum is exactly
    one half above an integer, at least 128, and needs all of its 24 bits: at most one pixel in 100,000, by 1. Those of
    uint16, summed in float32, differ by at most 1, about one in 200.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.GaussianBlur(np.array([[0, 0, 160, 0, 0]], np.uint8), (5, 1), 0)
    array([[20, 40, 60, 40, 20]], dtype=uint8)
    """
    x = as_mat(src, "src")
    as_integer(hint, "hint")
    found = _prepare_gaussian(
        x.dtype,
        x.shape,
        as_pair(ksize, "ksize", (0, 0)),
        as_number(sigmaX, "sigmaX"),
        as_number(sigmaY, "sigmaY"),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_gaussian(x_dtype, x_shape, size, across, down, border) -> Filter:
    result = result_type(x_dtype, -1, "separable")
    down = down if down > 0 else across
    width, height = (gaussian_size(given, sigma, result == np.uint8) for given, sigma in zip(size, (across, down)))
    if max(width, height) > _LONGEST_FACTOR:
        check_taps(width, height)
    row, column = gaussian(width, max(0.0, across)), gaussian(height, max(0.0, down))
    scale, offset = 1.0, 0.0
    if result == np.uint8:
        wholes = whole(row, 256), whole(column, 256)
        divisors = [int(np.gcd.reduce(taps)) for taps in wholes]
        row, column = (taps / divisor for taps, divisor in zip(wholes, divisors))
        scale = 65536.0 / (divisors[0] * divisors[1])
        offset = half_up_offset(scale)
    elif result == np.uint16:
        row, column = whole(row, 65536) / 65536, whole(column, 65536) / 65536
    taps, where = Separable((column, row), np.dtype(np.float64)), (width // 2, height // 2)
    return prepare(x_dtype, x_shape, result, taps, where, boundary(border, result.kind == "u"), scale, offset)


def Sobel(
    src: NDArray,
    ddepth: int,
    dx: int,
    dy: int,
    dst: NDArray | None = None,
    ksize: int = 3,
    scale: float = 1,
    delta: float = 0,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Take derivatives of a picture, smoothed across, as `cv2.Sobel`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ddepth : int
        As for `sepFilter2D`.
    dx, dy : int
        The order of the derivative along x and along y.
    dst : ndarray, optional
        As for `filter2D`.
    ksize : int
        The size of the kernel: odd, at most 31; 1 for 3 taps without smoothing, ``FILTER_SCHARR`` for Scharr's.
    scale, delta : float
        Sums are multiplied by `scale`, then `delta` is added.
    borderType : int
        As for `filter2D`.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error, Unsupported
        As `filter2D`, and `error` for orders that are negative, both 0, or not below `ksize`, and for another `ksize`.

    See Also
    --------
    fastconv.kernels.sobel_x : The kernel for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.Sobel(np.array([[0, 1, 3, 6, 10]], np.uint8), cv2.CV_16S, 1, 0)
    array([[ 0, 12, 20, 28,  0]], dtype=int16)
    """
    x = as_mat(src, "src")
    found = _prepare_derivative(
        x.dtype,
        x.shape,
        as_integer(ddepth, "ddepth"),
        as_integer(dx, "dx"),
        as_integer(dy, "dy"),
        as_integer(ksize, "ksize", 3),
        as_number(scale, "scale", 1.0),
        as_number(delta, "delta"),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_derivative(x_dtype, x_shape, ddepth, dx, dy, size, factor, delta, border) -> Filter:
    result = result_type(x_dtype, ddepth, "separable")
    row, column = derivatives(dx, dy, size)
    where = len(row) // 2, len(column) // 2
    if factor != 1:
        with np.errstate(all="ignore"):  # infinite taps are refused later
            row, column = (row * factor, column) if dx == 0 else (row, column * factor)
    offset = _rounded_delta(delta, x_dtype, result, row, column, where)
    return prepare(x_dtype, x_shape, result, _outer(column, row), where, boundary(border), 1.0, offset)


def Scharr(
    src: NDArray,
    ddepth: int,
    dx: int,
    dy: int,
    dst: NDArray | None = None,
    scale: float = 1,
    delta: float = 0,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Take the first derivative along x or y by Scharr's kernel, as `cv2.Scharr`.

    Parameters
    ----------
    src : array_like
        As for `Sobel`.
    ddepth : int
        As for `Sobel`.
    dst, scale, delta, borderType : optional
        As for `Sobel`.
    dx, dy : int
        1 and 0, or 0 and 1.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error, Unsupported
        As `Sobel`.

    See Also
    --------
    fastconv.kernels.scharr_x : The kernel for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.Scharr(np.array([[0, 1, 3, 6, 10]], np.uint8), cv2.CV_16S, 1, 0)
    array([[  0,  48,  80, 112,   0]], dtype=int16)
    """
    return Sobel(src, ddepth, dx, dy, dst, FILTER_SCHARR, scale, delta, borderType)


def Laplacian(
    src: NDArray,
    ddepth: int,
    dst: NDArray | None = None,
    ksize: int = 1,
    scale: float = 1,
    delta: float = 0,
    borderType: int = BORDER_DEFAULT,
) -> NDArray:
    """Take the sum of the second derivatives along x and y, as `cv2.Laplacian`.

    Parameters
    ----------
    src : ndarray, shape (H, W) or (H, W, C)
        The picture.
    ddepth : int
        As for `filter2D` if `ksize` is 1 or 3; else any of uint8, uint16, int16, int32, float32 and float64.
    dst : ndarray, optional
        As for `filter2D`.
    ksize : int
        The size of the kernel: odd, at most 31; 1 for the four neighbours alone.
    scale, delta : float
        Sums are multiplied by `scale`, then `delta` is added.
    borderType : int
        As for `filter2D`.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C)
        `dst`, or a new array.

    Raises
    ------
    error, Unsupported
        As `filter2D`, and `error` for another `ksize`.

    See Also
    --------
    fastconv.kernels.laplacian : The kernel for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> cv2.Laplacian(np.array([[0, 1, 3, 6, 10]], np.uint8), cv2.CV_16S)
    array([[ 2,  1,  1,  1, -8]], dtype=int16)
    """
    x = as_mat(src, "src")
    found = _prepare_laplacian(
        x.dtype,
        x.shape,
        as_integer(ddepth, "ddepth"),
        as_integer(ksize, "ksize", 1),
        as_number(scale, "scale", 1.0),
        as_number(delta, "delta"),
        as_integer(borderType, "borderType", BORDER_DEFAULT),
    )
    return fill(found, x, dst)


@kept
def _prepare_laplacian(x_dtype, x_shape, ddepth, size, factor, delta, border) -> Filter:
    small = size in _LAPLACIANS
    result = result_type(x_dtype, ddepth, "filter" if small else "laplacian")
    if small:
        taps = _LAPLACIANS[size]
    else:
        second, smooth = derivatives(2, 0, max(size, 2))  # 0 does not select Scharr here: it is refused, as 2 is
        taps = np.multiply.outer(second, smooth) + np.multiply.outer(smooth, second)
    where = len(taps) // 2, len(taps) // 2
    with np.errstate(all="ignore"):
        taps = taps * factor
    return prepare(x_dtype, x_shape, result, taps, where, boundary(border), 1.0, delta)


_LAPLACIANS = {
    1: np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]),
    3: np.array([[2.0, 0.0, 2.0], [0.0, -8.0, 0.0], [2.0, 0.0, 2.0]]),
}


def _outer(column: NDArray, row: NDArray) -> NDArray:
    with np.errstate(all="ignore"):  # taps that are not finite are refused later
        return np.multiply.outer(column, row)


def _rounded_delta(
    delta: float, source: np.dtype, result: np.dtype, row: NDArray, column: NDArray, where: Any
) -> float:
    """Return `delta` as OpenCV adds it: rounded where it sums uint8 in integers."""
    if not math.isfinite(delta) or source != np.uint8 or result != np.int16:
        return delta
    for taps, at in zip((row, column), where):
        mirrored = taps[::-1]
        with np.errstate(invalid="ignore"):  # raised by a signalling NaN
            whole_numbers = np.array_equal(np.rint(taps), taps) and 2 * at + 1 == len(taps)
        if not whole_numbers or not (np.array_equal(mirrored, taps) or np.array_equal(mirrored, -taps)):
            return delta
    return float(round(delta))
