"""Means and standard deviations over rectangular windows, at a cost that does not depend on their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastconv._model.arguments import as_count
from fastconv._model.message_formatting import shown
from fastconv._model.separability import Separable
from fastconv._planning.pictures import windows
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._filter import filtered
from fastconv.image._options import Keywords, KeywordsOfMissing, Options, Picture, takes_missing, takes_options
from fastconv.image._source import Result, Source
from fastconv.image._sums_of_zero import closed_floats, of_floats, opened_for_sum_of_zero
from fastconv.kernels._checks import MOST_TAPS, pair

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Windows of premultiplied integers for which a convolution is faster.
_SMALL = 225


@takes_missing
def box_blur(image: Picture, size: int | tuple[int, int] = 3, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Blur a picture by the mean over a window, in the same time for a window of any size.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    size : int or (int, int)
        The size of the window in pixels, or a pair ``(rows, columns)``. An even size has no central pixel: in mode
        'same' the window extends one pixel further left and up than right and down.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind. Means of integers of 8 and 16 bits are exact, rounded half to even,
        but colours that are weighted by alpha in windows of up to 225 pixels are quotients of `filter`; floats are
        summed in float64, and no mean of finite numbers overflows.

    Raises
    ------
    ValueError, TypeError
        As `filter` and `fastconv.kernels.box`.

    See Also
    --------
    local_mean : The same as floats.
    fastconv.kernels.box : The kernel.

    Notes
    -----
    With a `method`, and where pixels may be missing, it is the convolution with the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import box_blur
    >>> box_blur(np.array([[0, 0, 90, 0, 0, 0]], np.uint8), (1, 3))
    array([[ 0, 30, 30, 30,  0,  0]], dtype=uint8)
    """
    source = Source.open(image, Options.of(box_blur, options))
    return _means(source, _as_window(size, source))


@takes_missing
def local_mean(image: Any, size: int | tuple[int, int] = 3, **options: Unpack[KeywordsOfMissing]) -> Any:
    """Compute the mean over a window around each pixel, as floats.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    size : int or (int, int)
        The size of the window in pixels, or a pair ``(rows, columns)``, as in `box_blur`.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        Summed exactly, or in float64, as by `box_blur`.

    Raises
    ------
    ValueError, TypeError
        As `box_blur`.

    See Also
    --------
    local_std : The standard deviation over the same windows.
    box_blur : The same as pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import local_mean
    >>> local_mean(np.array([[1, 2, 6, 2]], np.uint8), (1, 3), mode="valid")
    array([[3.       , 3.3333333]], dtype=float32)
    """
    source = of_floats(Source.open(image, Options.of(local_mean, options)))
    return _means(source, _as_window(size, source))


@takes_options
def local_std(image: Any, size: int | tuple[int, int] = 3, **options: Unpack[Keywords]) -> NDArray[np.floating]:
    """Compute the standard deviation over a window around each pixel: of all its pixels, not an estimate.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    size : int or (int, int)
        The size of the window in pixels, or a pair ``(rows, columns)``, as in `box_blur`.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        0 throughout an alpha channel. With `linear` it is that of linear light, times the white of the type.

    Raises
    ------
    ValueError, TypeError
        As `box_blur`; and for ``alpha='filter'``, and a masked array.

    See Also
    --------
    local_mean : The mean over the same windows.

    Notes
    -----
    Squares of distances from means are summed, in float64: a deviation of 0.001 around a million has seven digits,
    where ``mean(x**2) - mean(x)**2`` has none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import local_std
    >>> local_std(1e6 + np.array([[0.001, -0.001, 0.001, -0.001]]), (1, 2), mode="valid").round(6)
    array([[0.001, 0.001, 0.001]])
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(local_std, options)))
    if source.may_miss:
        raise ValueError("image must not be a masked array: local_std leaves out no pixels")
    window = _as_window(size, source)
    deviations = _over(source, source.array, window, _type_asked_for(source), deviations=True)
    return closed_floats(source, Result(source.in_pixels(deviations)))


def _as_window(size: Any, source: Source) -> tuple[int, int]:
    """Check the size of a window, and that results fit."""
    window = pair(size, "size", as_count)
    if math.prod(window) > MOST_TAPS:
        raise ValueError(f"size must give a window of at most {MOST_TAPS} pixels; got {shown(size)}")
    source.check_results(window)
    return window


def _over(
    source: Source, array: NDArray, window: tuple[int, int], dtype: np.dtype, deviations: bool = False
) -> NDArray:
    """Means over windows, or standard deviations, of pixels of `array`."""
    options = source.options
    outside = source.outside() if array is source.array else 0
    request = windows.Request(
        array.dtype, array.shape, source.axes, window, options.mode, options.boundary, outside, dtype, deviations
    )
    return windows.compute(request, array, options.workers)


def _means(source: Source, window: tuple[int, int]) -> Any:
    """Means over windows as a picture of the same kind."""
    options, array = source.options, source.array
    plain = not source.may_miss and options.method == "auto"
    if plain and not source.has_alpha:
        return _unweighted(source, window)
    whole = array.dtype.kind in "iu"
    # Taps of floats add up to 1, so that no sum overflows; sums of integers are exact.
    lines = tuple(np.full(extent, 1.0 if whole else 1 / extent) for extent in window)
    kernel, count = Separable(lines, source.sums), float(math.prod(window)) if whole else 1.0
    premultiplied = source.premultiplies(kernel)
    is_small = premultiplied and whole and math.prod(window) <= _SMALL
    if not plain or is_small:
        return filtered(source, kernel, count)
    if premultiplied and options.boundary == "fill":
        return filtered(source, kernel, count)  # a colour outside is multiplied by its alpha
    if premultiplied:
        exact = np.dtype(np.float64)
        sums = _over(source, _premultiplied(array, exact), window, exact)
        _divide(sums)
        return source.closed(Result(sums), window, False)
    return _unweighted(source, window)


def _unweighted(source: Source, window: tuple[int, int]) -> Any:
    """Means of colours as they are stored; alpha is kept."""
    options, array = source.options, source.array
    if source.is_plain:
        dtype = source.dtype if options.dtype is None else options.dtype
    elif array.dtype.kind in "iu" and options.dtype is None:
        dtype = np.dtype(np.float64)  # means of integers are rounded once, when they are stored
    else:
        dtype = _type_asked_for(source)
    return source.closed(Result(_over(source, array, window, dtype)), window, source.has_alpha)


def _type_asked_for(source: Source) -> np.dtype:
    """The type of sums, or a wider one that is asked for."""
    wanted = source.options.dtype
    return source.sums if wanted is None else np.promote_types(source.sums, wanted)


def _premultiplied(array: NDArray, dtype: np.dtype) -> NDArray:
    """Colours times alpha, the last channel, and alpha."""
    result = np.empty(array.shape, dtype)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(array.shape[:-1]):
            result[chunk] = array[chunk]
            result[chunk][..., :-1] *= result[chunk][..., -1:]
    return result


def _divide(sums: NDArray) -> None:
    """Divide colours by alpha, in place; they are 0 where that is."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(sums.shape[:-1]):
            colours, alpha = sums[chunk][..., :-1], sums[chunk][..., -1:]
            np.divide(colours, alpha, out=colours, where=alpha != 0)
