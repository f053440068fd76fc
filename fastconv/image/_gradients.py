"""Gradients: their magnitude and direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.separability import Separable
from fastconv._planning.pictures import magnitudes, windows
from fastconv._runtime import progress_reports
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._source import Result, Source
from fastconv.image._sums_of_zero import LEVEL, closed_floats, combine, derivative, of_floats, opened_for_sum_of_zero
from fastconv.kernels._profiles import gaussian_profiles

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Kernels across and down, and the weights along an edge, outer and middle, with what sums are divided by.
_SOBEL = kernels.sobel_x, kernels.sobel_y, (1, 2, 4)
_SCHARR = kernels.scharr_x, kernels.scharr_y, (3, 10, 16)
_PREWITT = kernels.prewitt_x, kernels.prewitt_y, (1, 1, 3)


@takes_missing
def sobel_magnitude(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Compute the magnitude of the gradient by the Sobel kernels: ``hypot(across, down) / 4``.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind; a step from 0 to 255 gives 255. Along diagonals magnitudes reach 270,
        and saturate in 8 bits: see `dtype`. Alpha is kept. With `linear` it is the magnitude in linear light, times the
        white of the type, and is not encoded.

    Raises
    ------
    ValueError, TypeError
        As `filter`; and for ``alpha='filter'``, since the taps add up to 0.

    See Also
    --------
    sobel_direction : The direction of the same gradient.
    fastconv.kernels.sobel_x : The kernel across.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import sobel_magnitude
    >>> sobel_magnitude(np.array([[0, 0, 90, 90]] * 3, np.uint8))
    array([[ 0, 90, 90,  0],
           [ 0, 90, 90,  0],
           [ 0, 90, 90,  0]], dtype=uint8)
    """
    return _magnitude(image, Options.of(sobel_magnitude, options), *_SOBEL)


@takes_missing
def scharr_magnitude(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Compute the magnitude of the gradient by the Scharr kernels: ``hypot(across, down) / 16``.

    Its direction depends less on the kernels than that of `sobel_magnitude`.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        As that of `sobel_magnitude`: a step from 0 to 255 gives 255.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude`.

    See Also
    --------
    sobel_magnitude : The same by other kernels.
    fastconv.kernels.scharr_x : The kernel across.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import scharr_magnitude
    >>> scharr_magnitude(np.array([[0, 0, 90, 90]] * 3, np.uint8))[0]
    array([ 0, 90, 90,  0], dtype=uint8)
    """
    return _magnitude(image, Options.of(scharr_magnitude, options), *_SCHARR)


@takes_missing
def prewitt_magnitude(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Compute the magnitude of the gradient by the Prewitt kernels: ``hypot(across, down) / 3``.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        As that of `sobel_magnitude`: a step from 0 to 255 gives 255.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude`.

    See Also
    --------
    sobel_magnitude : The same by other kernels.
    fastconv.kernels.prewitt_x : The kernel across.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import prewitt_magnitude
    >>> prewitt_magnitude(np.array([[0, 0, 90, 90]] * 3, np.uint8))[0]
    array([ 0, 90, 90,  0], dtype=uint8)
    """
    return _magnitude(image, Options.of(prewitt_magnitude, options), *_PREWITT)


@takes_missing
def gaussian_gradient_magnitude(
    image: Picture, sigma: float | tuple[float, ...], *, truncate: float = 4.0, **options: Unpack[KeywordsOfMissing]
) -> Picture | Any:
    """Compute the magnitude of the gradient of a picture blurred with a Gaussian, by derivatives of the Gaussian.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis, positive.
    truncate : float
        The radius at which the Gaussian is cut off, in standard deviations.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind, that of `scipy.ndimage.gaussian_gradient_magnitude`. Alpha is kept. With
        `linear` as `sobel_magnitude`.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude` and `fastconv.kernels.gaussian`.

    See Also
    --------
    sobel_magnitude : The same by small kernels.
    gaussian_blur : Blurs, and single derivatives.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import gaussian_gradient_magnitude
    >>> ramp = np.arange(0, 250, 10, dtype=np.uint8) * np.ones((25, 1), np.uint8)
    >>> gaussian_gradient_magnitude(ramp, 1)[12, 8:12]
    array([10, 10, 10, 10], dtype=uint8)
    """
    source = opened_for_sum_of_zero(image, Options.of(gaussian_gradient_magnitude, options), axes=None)
    count = len(source.axes)
    found = []
    for axis in range(count):
        order = tuple(int(each_axis == axis) for each_axis in range(count))
        lines = gaussian_profiles(sigma, truncate, count, order)
        found.append(Separable(lines, source.sums))
    level = Separable(gaussian_profiles(sigma, truncate, count), source.sums)
    return _root_of_squares(source, found, level, 1.0)


@takes_missing
def sobel_direction(image: Any, **options: Unpack[KeywordsOfMissing]) -> NDArray[np.floating]:
    """Compute the direction of the gradient by the Sobel kernels: towards increasing brightness.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        ``arctan2(down, across)`` in radians: 0 to the right, ``pi / 2`` downwards. It is 0 where an integer picture is
        flat, and throughout an alpha channel; where a float picture is flat it is arbitrary, due to rounding errors.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude`.

    See Also
    --------
    sobel_magnitude : The length of the same gradient.
    fastconv.kernels.sobel_x : The kernel across.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import sobel_direction
    >>> sobel_direction(np.array([[0, 0, 0], [90, 90, 90]], np.uint8)) / np.float32(np.pi)
    array([[0.5, 0.5, 0.5],
           [0.5, 0.5, 0.5]], dtype=float32)
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(sobel_direction, options)))
    source.check_results((3, 3))
    across, down = _slopes(source, *_SOBEL[:2], _SOBEL[2][2])
    combine(np.arctan2, down.values, across.values, out=across.values)
    return closed_floats(source, across.known_with(down))


def _slopes(
    source: Source, across: Callable[..., NDArray], down: Callable[..., NDArray], scale: float
) -> tuple[Result, Result]:
    """The derivatives across and down, divided by `scale`."""
    found = []
    for number, make in enumerate((across, down)):
        with progress_reports.part(number, 2):
            found.append(derivative(source, make(dtype=np.float64), LEVEL, scale))
    return found[0], found[1]


def _magnitude(image: Any, options: Options, across, down, gradient: tuple[int, int, int]) -> Any:
    """The magnitude of a gradient by two kernels of 3 x 3."""
    source, extents = opened_for_sum_of_zero(image, options), (3, 3)
    if source.gives_pixels() and windows.takes_gradients(source.array.dtype):
        source.check_results(extents)
        array = source.array
        request = windows.Request(
            array.dtype, array.shape, source.axes, extents, options.mode, options.boundary, source.outside(),
            source.dtype, gradient=gradient,
        )  # fmt: skip
        found = windows.compute(request, array, options.workers)
        return source.closed(Result(found), extents, source.has_alpha)
    kernels_of_both = [make(dtype=np.float64) for make in (across, down)]
    return _root_of_squares(source, kernels_of_both, LEVEL, gradient[2])


# Elements of the derivatives of a strip, which stay in a cache.
_STRIP = 1 << 18


def _of_strips(source: Source, parts: list, scale: float) -> NDArray[Any]:
    """The magnitude of a gradient by two kernels of 3 x 3, a strip of rows at a time."""
    shape, workers = source.shape_of_results(parts[0].shape), source.options.workers
    result = np.empty(shape, source.sums)
    rows = max(16, _STRIP // max(1, result[0].size))
    buffers = [np.empty((min(rows, shape[0]), *shape[1:]), source.sums) for _ in parts]
    for first in range(0, shape[0], rows):
        stop = min(first + rows, shape[0])
        strip = source.strip(first, stop, parts[0].shape)
        with progress_reports.part(first // rows, -(-shape[0] // rows)):
            for kernel, buffer in zip(parts, buffers):
                strip.convolved(kernel, source.sums, scale=scale, out=buffer[: stop - first])
            magnitudes.combine(buffers[0][: stop - first], buffers[1][: stop - first], result[first:stop], workers)
    return result


def _root_of_squares(source: Source, parts: list, level: NDArray[np.floating] | Separable, scale: float) -> Any:
    """The root of the sum of the squares of several convolutions, by `hypot`: nothing overflows."""
    extents = parts[0].shape
    source.check_results(extents)
    if len(parts) == 2 and max(extents) == 3 and source.may_be_cut():
        total = Result(_of_strips(source, parts, scale))
    else:
        total = _in_one_pass(source, parts, scale) or _one_by_one(source, parts, level, scale)
    source.in_pixels(total.values)
    return source.closed(total, extents, source.has_alpha, encodes=False)


def _in_one_pass(source: Source, parts: list, scale: float) -> Result | None:
    """The root for two separable kernels of one size; None where they are convolved with one by one."""
    if len(parts) != 2 or source.may_miss:
        return None
    plans = [source.plan(kernel, source.sums, True, scale, 0.0, False, True) for kernel in parts]
    found = magnitudes.of_plans(plans, source.array, source.options.workers)
    return None if found is None else Result(found)


def _one_by_one(source: Source, parts: list, level: NDArray[np.floating] | Separable, scale: float) -> Result:
    """The root for any kernels."""
    with progress_reports.part(0, len(parts)):
        total = derivative(source, parts[0], level, scale)
    for number, kernel in enumerate(parts[1:], 1):
        with progress_reports.part(number, len(parts)):
            part = derivative(source, kernel, level, scale)
        magnitudes.combine(total.values, part.values, None, source.options.workers)
        total = total.known_with(part)
    return total
