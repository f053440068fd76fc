"""Template matching by the normalized cross-correlation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._model.checks import as_out, check_result_size
from fastconv._planning.pictures import windows
from fastconv._runtime import progress_reports
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy
from fastconv.convolution import correlate2d
from fastconv.image._options import Keywords, Options, takes_options_of_valid
from fastconv.image._source import Source
from fastconv.image._sums_of_zero import of_floats, opened_for_sum_of_zero

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Deviations of windows below so many eps of the largest distance from the mean are rounding errors.
_FLAT = 100


class Match(NamedTuple):
    """Scores of a template at each place, from -1 to 1, and the place of the largest.

    Parameters
    ----------
    scores : ndarray
        A score for each place.
    peak : tuple of int
        The index of the largest.
    score : float
        The largest.

    See Also
    --------
    normalized_cross_correlation : What returns it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import normalized_cross_correlation
    >>> picture = np.eye(4, dtype=np.uint8)
    >>> scores, peak, score = normalized_cross_correlation(picture, picture[1:3, :2])
    >>> peak
    (1, 0)
    """

    scores: NDArray[np.floating]
    peak: tuple[int, ...]
    score: float


@takes_options_of_valid
def normalized_cross_correlation(image: Any, template: Any, **options: Unpack[Keywords]) -> Match:
    """Find a template in a picture: correlate both, less their means, over the product of their deviations.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    template : PIL.Image.Image or array_like
        What to look for, no larger than the picture in mode 'valid': of shape (h, w); or (h, w, C) for a picture of
        as many channels, whose products are added up. An alpha channel is left out of both.
    shared keywords

    Returns
    -------
    Match
        A named tuple of ``scores``, floats, by default one for each place of the template inside the picture; ``peak``,
        the index of the largest, the first one of several; and ``score``, that number. In mode 'valid' a place is that
        of the first pixel of the template, in mode 'same' that of its pixel ``(h // 2, w // 2)``. Scores are 1 where
        the picture is the template, up to a positive factor and a constant, and 0 where it is flat.

    Raises
    ------
    ValueError, TypeError
        As `filter`; and for a template that is flat, too large, or not of the channels of the picture.

    See Also
    --------
    filter : With `correlate`, the correlation that is not normalized.
    local_std : The deviations of windows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import normalized_cross_correlation
    >>> picture = np.random.default_rng(1).integers(0, 256, (60, 80), dtype=np.uint8)
    >>> found = normalized_cross_correlation(picture, picture[20:30, 50:65])
    >>> found.peak, round(found.score, 4)
    ((20, 50), 1.0)
    """
    source = of_floats(opened_for_sum_of_zero(image, Options.of(normalized_cross_correlation, options)))
    if source.may_miss:
        raise ValueError("image must not be a masked array: normalized_cross_correlation leaves out no pixels")
    taps = _as_template(template, source)
    source.check_valid(taps.shape[:2], "template")
    check_result_size("image", source.array.shape, taps.dtype)  # before its pixels are read
    scores = _scores(source, taps)
    wanted = source.sums if source.options.dtype is None else source.options.dtype
    if scores.dtype != wanted:
        scores = converted(scores, wanted)
    known = np.where(np.isnan(scores), -np.inf, scores)
    peak = tuple(int(index) for index in np.unravel_index(int(known.argmax()), scores.shape))
    score = float(scores[peak])
    if source.options.out is not None:
        copy(as_out(source.options.out, scores.shape, scores.dtype), scores)
        scores = source.options.out
    return Match(scores, peak, score)


def _as_template(template: Any, source: Source) -> NDArray[Any]:
    """Return the template less its mean, or that of each channel, in the type of the sums."""
    found = Source.open(template, Options(linear=source.options.linear), name="template")
    if found.may_miss:
        raise ValueError("template must not be a masked array: normalized_cross_correlation leaves out no pixels")
    taps = converted(found.array[..., :-1] if found.has_alpha else found.array, np.dtype(np.float64))
    if found.pixels is None and source.has_alpha and taps.ndim == 3 and taps.shape[-1] == source.array.shape[-1]:
        taps = taps[..., :-1]
    channels = _colours(source).shape[-1] if source.axes == (0, 1) and source.array.ndim == 3 else 0
    if taps.ndim == 3 and taps.shape[-1] != channels:
        raise ValueError(
            f"template must be of shape (h, w), or have the channels of image; got shape {taps.shape} for one of shape "
            f"{source.array.shape}"
        )
    with np.errstate(all="ignore"):
        largest = float(np.abs(taps).max())
        taps -= taps.mean((0, 1))
        size = float(np.abs(taps).max())
    if not size < math.inf:
        raise ValueError("template must be finite; got one with an infinity or a NaN")
    dtype = _sums(source)
    if not size > _FLAT * float(np.finfo(dtype).eps) * largest:
        raise ValueError(f"template must not be flat, as nothing can be scaled to it; got shape {taps.shape}")
    return np.ldexp(taps, -math.frexp(size)[1]).astype(dtype)


def _sums(source: Source) -> np.dtype:
    """The type of sums: float32 has too few digits for small differences of large samples."""
    few = source.array.dtype.itemsize == 1 and not source.options.linear
    return source.sums if few else np.dtype(np.float64)


def _colours(source: Source) -> NDArray[Any]:
    return source.array[..., :-1] if source.has_alpha else source.array


def _scores(source: Source, taps: NDArray[Any]) -> NDArray[Any]:
    """The scores of a template that has no mean."""
    array, dtype = _colours(source), taps.dtype
    planes = [array] if taps.ndim == 2 else [array[..., k] for k in range(array.shape[-1])]
    means = [_mean(plane) for plane in planes]
    largest = max(map(_largest_distance, planes, means))
    exponent = math.frexp(largest)[1]  # a power of two divides all distances, so that no square overflows or vanishes
    products, squares = None, None
    for number, (plane, mean) in enumerate(zip(planes, means)):
        with progress_reports.part(number, len(planes)):
            some = taps if taps.ndim == 2 else taps[..., number]
            found, deviations = _correlated(source, plane, some, mean, exponent)
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(found.shape):
                deviations[chunk] *= deviations[chunk]
                if products is not None and squares is not None:
                    found[chunk] += products[chunk]
                    deviations[chunk] += squares[chunk]
        products, squares = found, deviations
    assert products is not None
    assert squares is not None
    least = (_FLAT * float(np.finfo(dtype).eps) * math.ldexp(largest, -exponent)) ** 2
    scale = math.sqrt(taps[..., 0].size if taps.ndim == 3 else taps.size) * float(np.linalg.norm(taps.astype("f8")))
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(products.shape):
            score, square = products[chunk], squares[chunk]
            score /= np.sqrt(square) * dtype.type(scale)
            score[square <= least] = 0
            np.maximum(score, -1, out=score)
            np.minimum(score, 1, out=score)
    return products


def _mean(plane: NDArray[Any]) -> float:
    """About the mean of pixels: the correlation with a template that has none loses no digits to it."""
    some = plane[tuple(slice(None, None, max(1, extent // 256)) for extent in plane.shape)]
    with np.errstate(all="ignore"):
        mean = float(some.mean(dtype=np.float64))
    mean = mean if math.isfinite(mean) else 0.0
    return round(mean) if plane.dtype.kind in "iu" else mean


def _largest_distance(plane: NDArray[Any], mean: float) -> float:
    """The largest finite distance of a pixel from the mean."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(plane.shape):
            distances = np.abs(plane[chunk] - np.float64(mean))
            largest = max(largest, float(distances.max(initial=0.0, where=np.isfinite(distances))))
    return largest


def _correlated(
    source: Source, plane: NDArray[Any], taps: NDArray[Any], mean: float, exponent: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Correlate distances from a mean, over a power of two, with a template; and their deviations in its windows."""
    options, dtype = source.options, taps.dtype
    centred = np.empty(plane.shape, dtype)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(plane.shape):
            centred[chunk] = np.ldexp(plane[chunk] - np.float64(mean), -exponent)
    fills = options.boundary in ("zero", "fill")
    boundary: Any = "fill" if fills else options.boundary
    outside = math.ldexp(float(source.outside()) - mean, -exponent) if fills else 0
    found = correlate2d(
        centred,
        taps,
        options.mode,
        axes=(source.axes[0], source.axes[1]),
        boundary=boundary,
        fill_value=outside,
        method=options.method,
        workers=options.workers,
    )
    size = taps.shape[0], taps.shape[1]
    request = windows.Request(
        centred.dtype, centred.shape, source.axes, size, options.mode, boundary, outside, dtype, deviations=True
    )
    return found, windows.compute(request, centred, options.workers)
