"""Gradients and other filters whose taps add up to 0.

Where pixels may be missing, their sums are divided by the known share of the taps; of several kernels the smallest
share counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.arguments import as_finite
from fastconv._model.message_formatting import shown
from fastconv._model.separability import Separable
from fastconv._runtime import progress_reports
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._blurs import axis_count, gaussian_kernel
from fastconv.image._filter import filtered
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._source import Result, Source
from fastconv.kernels._checks import each, positive
from fastconv.kernels._profiles import curvature_profile, gaussian_profiles

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SOBEL = kernels.sobel_x, kernels.sobel_y, 4.0
_SCHARR = kernels.scharr_x, kernels.scharr_y, 16.0
_PREWITT = kernels.prewitt_x, kernels.prewitt_y, 3.0


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
    return _root_of_squares(source, found, 1.0)


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
    across, down = _slopes(source, *_SOBEL)
    _combine(np.arctan2, down.values, across.values, out=across.values)
    return closed_floats(source, across.known_with(down))


@takes_missing
def laplacian_of_gaussian(
    image: Any, sigma: float | tuple[float, ...], *, truncate: float = 4.0, **options: Unpack[KeywordsOfMissing]
) -> NDArray[np.floating]:
    """Compute the Laplacian of a picture blurred with a Gaussian: edges are at its zero crossings.

    It is the sum of the second derivatives, as of `fastconv.kernels.log`, along each axis: exact for polynomials up to
    the third degree, and negative on a bright spot.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis, positive.
    truncate : float
        The cut-off in standard deviations: the radius is ``max(1, int(truncate * sigma + 0.5))`` pixels.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 throughout an alpha channel.

    Raises
    ------
    ValueError, TypeError
        As `sobel_magnitude` and `fastconv.kernels.log`.

    See Also
    --------
    difference_of_gaussians : A similar filter.
    fastconv.kernels.log : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import laplacian_of_gaussian
    >>> dot = np.zeros((9, 9), np.uint8)
    >>> dot[4, 4] = 100
    >>> laplacian_of_gaussian(dot, 1.0)[4, 3:6].round(1)
    array([ -9.7, -31.9,  -9.7], dtype=float32)
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(laplacian_of_gaussian, options), axes=None))
    count = len(source.axes)
    gaussian_profiles(sigma, truncate, count)  # checks both
    sigmas = [max(one, 0.1) for one in each(sigma, "sigma", positive, count)]  # as `kernels.log`
    radii = [max(1, int(positive(truncate, "truncate") * one + 0.5)) for one in sigmas]
    blurs = [gaussian_profiles(one, radius / one, 2)[0] for one, radius in zip(sigmas, radii)]
    total = None
    source.check_results(tuple(line.size for line in blurs))
    for axis in range(count):
        lines = list(blurs)
        lines[axis] = curvature_profile(sigmas[axis], radii[axis])
        with progress_reports.part(axis, count):
            part = _derivative(source, Separable(tuple(lines), source.sums))
        if total is None:
            total = part
        else:
            _combine(np.add, total.values, part.values, out=total.values)
            total = total.known_with(part)
    assert total is not None
    source.in_pixels(total.values)
    return closed_floats(source, total)


@takes_missing
def difference_of_gaussians(
    image: Any, low_sigma: float, high_sigma: float | None = None, **options: Unpack[KeywordsOfMissing]
) -> NDArray[np.floating]:
    """Subtract a wide Gaussian blur from a narrow one: a band-pass filter for details between the two scales.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    low_sigma : float
        Standard deviation of the narrow blur, in pixels.
    high_sigma : float, optional
        Standard deviation of the wide blur. By default ``1.6 * low_sigma``, which is close to a Laplacian of a
        Gaussian [1]_. The modes 'full' and 'valid' are those of its kernel.
    shared keywords

    Returns
    -------
    ndarray of float32 (float64 where `filter` sums in it), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 throughout an alpha channel.

    Raises
    ------
    ValueError
        If `high_sigma` is not larger than `low_sigma`; and as `sobel_magnitude` and `fastconv.kernels.gaussian`.
    TypeError
        If one of them is not a number; and as `sobel_magnitude`.

    See Also
    --------
    gaussian_blur : One of the two blurs.
    fastconv.kernels.log : The Laplacian of a Gaussian.

    References
    ----------
    .. [1] Marr, D., Hildreth, E., "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import difference_of_gaussians
    >>> dot = np.zeros((9, 9), np.uint8)
    >>> dot[4, 4] = 100
    >>> difference_of_gaussians(dot, 1.0)[4, 3:6].round(1)
    array([4.5, 9.7, 4.5], dtype=float32)
    """
    low_sigma = as_finite(low_sigma, "low_sigma", positive=True)
    high_sigma = 1.6 * low_sigma if high_sigma is None else as_finite(high_sigma, "high_sigma")
    if not high_sigma > low_sigma:
        raise ValueError(f"high_sigma must be larger than low_sigma, {shown(low_sigma)}; got {shown(high_sigma)}")
    source = of_floats(opened_for_sum_of_zero(image, Options.of(difference_of_gaussians, options), axes=None))
    wide = gaussian_kernel(high_sigma, 4.0, source)
    narrow = gaussian_kernel(low_sigma, 4.0, source)
    if source.options.mode != "same":
        around = [(outer - inner) // 2 for outer, inner in zip(wide.shape, narrow.shape)]
        narrow = narrow._replace(lines=tuple(np.pad(line, n) for line, n in zip(narrow.lines, around)))
    source.check_results(wide.shape)
    with progress_reports.part(0, 2):
        result = source.convolved(narrow, source.sums)
    other = source.convolved(wide, source.sums)
    _combine(np.subtract, result.values, other.values, out=result.values)
    source.in_pixels(result.values)
    return closed_floats(source, result.known_with(other))


@takes_missing
def edges(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Show edges: `filter` with `fastconv.kernels.edge`, a Laplacian of 8 neighbours.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind: what is brighter than its neighbours. With `dtype` it is signed.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

    See Also
    --------
    sobel_magnitude : Edges by the gradient.
    fastconv.kernels.edge : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import edges
    >>> edges(np.array([[0, 0, 20, 20]] * 3, np.uint8))[1]
    array([ 0,  0, 60,  0], dtype=uint8)
    """
    source = opened_for_sum_of_zero(image, Options.of(edges, options))
    source.check_valid((3, 3))
    return filtered(source, kernels.edge(dtype=np.float64), normalize=not source.may_miss)


def opened_for_sum_of_zero(image: Any, options: Options, axes: int | None = 2) -> Source:
    """Open a picture for kernels whose taps add up to 0; `axes` is their number, None for any."""
    source = Source.open(image, options, axis_count(options.axes) if axes is None else axes)
    if source.has_alpha and options.alpha == "filter":
        raise ValueError("alpha must be 'auto' or 'keep' for a filter whose taps add up to 0; got 'filter'")
    return source


def of_floats(source: Source) -> Source:
    """The same with floats as results, unless another type of floats was asked for."""
    options = source.options
    return source._replace(options=options._replace(dtype=source.sums)) if options.dtype is None else source


def _combine(function: Callable[..., Any], *arrays: NDArray[Any], out: NDArray[Any]) -> None:
    """Apply a function to arrays of one shape, chunk by chunk."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(out.shape):
            function(*(array[chunk] for array in arrays), out=out[chunk])


def _derivative(source: Source, kernel: NDArray[np.floating] | Separable, scale: float = 1.0) -> Result:
    """The sums of a kernel whose taps add up to 0, divided by `scale`."""
    return source.convolved(kernel, source.sums, scale=scale, normalize=False)


def _slopes(
    source: Source, across: Callable[..., NDArray], down: Callable[..., NDArray], scale: float
) -> tuple[Result, Result]:
    """The derivatives across and down, divided by `scale`."""
    found = []
    for number, make in enumerate((across, down)):
        with progress_reports.part(number, 2):
            found.append(_derivative(source, make(dtype=np.float64), scale))
    return found[0], found[1]


def _magnitude(image: Any, options: Options, across, down, scale: float) -> Any:
    """The magnitude of a gradient by two kernels of 3 x 3."""
    source = opened_for_sum_of_zero(image, options)
    kernels_of_both = [make(dtype=np.float64) for make in (across, down)]
    return _root_of_squares(source, kernels_of_both, scale)


def _hypot(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """``hypot(a, b)``, several times as fast where squares neither overflow nor vanish; `a` may be `out`."""
    limits = np.finfo(out.dtype)
    largest = max(abs(float(part(one))) for one in (a, b) for part in (np.max, np.min))
    if not largest < 2.0 ** (limits.maxexp // 2 - 2):
        np.hypot(a, b, out=out)
        return
    found = a * a
    found += b * b
    np.sqrt(found, out=found)
    # Squares of smaller numbers lose digits.
    small = found < 2.0 ** (limits.minexp // 2 + limits.nmant)
    if small.any():
        small &= (a != 0) | (b != 0)
        np.hypot(a, b, out=found, where=small)
    out[...] = found


def _root_of_squares(source: Source, parts: list, scale: float) -> Any:
    """The root of the sum of the squares of several convolutions, by `hypot`: nothing overflows."""
    extents = parts[0].shape
    source.check_results(extents)
    with progress_reports.part(0, len(parts)):
        total = _derivative(source, parts[0], scale)
    for number, kernel in enumerate(parts[1:], 1):
        with progress_reports.part(number, len(parts)):
            part = _derivative(source, kernel, scale)
        _combine(_hypot, total.values, part.values, out=total.values)
        total = total.known_with(part)
    source.in_pixels(total.values)
    return source.closed(total, extents, source.has_alpha, encodes=False)


def closed_floats(source: Source, result: Result) -> Any:
    """Floats as the result, with 0 in an alpha channel."""
    if source.has_alpha:
        result.values[..., -1] = 0
    return source.closed(result, (), False, encodes=False)
