"""Template matching by the normalized cross-correlation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._model.checks import as_out, check_result_size
from fastconv._model.geometry import span
from fastconv._planning.pictures import template_scores, windows
from fastconv._runtime import progress_reports
from fastconv._runtime.interruptible_numpy import add, chunk_slices, converted, copy
from fastconv.convolution import correlate2d
from fastconv.image._options import Keywords, Options, takes_options_of_valid
from fastconv.image._source import Source
from fastconv.image._sums_of_zero import of_floats, opened_for_sum_of_zero

if TYPE_CHECKING:
    from typing_extensions import Unpack

_DOUBLE = np.dtype(np.float64)
# Deviations of windows up to so many eps of their own samples, and of the largest of all, are rounding errors.
_FLAT = 100
# Windows that are looked at together, in cache.
_AT_A_TIME = 1 << 14
# Distances all below this power of two, and not below its inverse, are not scaled: no square overflows or vanishes.
_POWER = 300


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
        the picture is the template, up to a positive factor and a constant, and 0 where it is flat, also up to rounding
        errors. Huge pixels, such as marks of missing data, spoil only the scores of the windows that hold them.

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
    place = int(scores.argmax())  # of the first NaN, if there is one
    if np.isnan(scores.flat[place]):
        place = int(np.where(np.isnan(scores), -np.inf, scores).argmax())
    peak = tuple(int(index) for index in np.unravel_index(place, scores.shape))
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
    means, usual = zip(*map(template_scores.about_the_mean, planes))
    largest = max(map(_largest_distance, planes, means))
    exponent = _exponent(largest, max(usual))
    windows_of = [_Windows(source, plane, mean, exponent, dtype) for plane, mean in zip(planes, means)]
    products: Any = None
    for number, one in enumerate(windows_of):
        with progress_reports.part(number, len(planes) + 1):
            found = one.products(taps if taps.ndim == 2 else taps[..., number])
            if products is not None:
                add(found, products)
        products = found
    is_exact = len(planes) == 1 and windows_of[0].are_exact
    errors = _FLAT * float(np.finfo(dtype).eps)
    doubtful = errors * math.ldexp(largest, -exponent)
    numbers = template_scores.Numbers(
        factor=math.ldexp(1.0, -2 * exponent) if is_exact else 0.0,
        norm=math.sqrt(math.prod(taps.shape[:2])) * float(np.linalg.norm(taps.astype("f8"))),
        least=doubtful**2 if is_exact else 0.0,
    )
    scores = np.empty(products.shape, source.sums if source.options.dtype is None else source.options.dtype)
    size, workers = (taps.shape[0], taps.shape[1]), source.options.workers
    with progress_reports.part(len(planes), len(planes) + 1):
        for rows, sources in _strips(source, products.shape, size[0]):
            if is_exact:
                rule, (first, squares) = "correlations", windows_of[0].moments(sources, size)
            else:
                rule = "correlations by deviation"
                first = squares = _total([one.deviations(sources, size) for one in windows_of])
                _clear_flat(first, windows_of, sources, size, errors, doubtful)
            template_scores.fill(rule, products[rows], first, squares, scores[rows], numbers, workers)
    return scores


def _exponent(largest: float, usual: float) -> int:
    """The power of two that divides all distances: 0 in general; squares of usual distances must not vanish."""
    power = math.frexp(largest)[1]
    if abs(power) <= _POWER:
        return 0
    return min(power - _POWER, math.frexp(usual)[1] + _POWER) if usual else power - _POWER


def _strips(source: Source, shape: tuple[int, ...], rows: int) -> Iterable[tuple[slice, slice]]:
    """Rows of results, and those of the picture that they depend on."""
    if source.options.mode == "valid" and source.axes[0] == 0:
        return template_scores.strips(shape[0], math.prod(shape[1:]), rows)
    return [(slice(None), slice(None))]


def _total(numbers: list[NDArray[Any]]) -> NDArray[Any]:
    """The root of the sum of squares, in place of the first."""
    first, *others = numbers
    if others:
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(first.shape):
                squares = sum(one[chunk] * one[chunk] for one in numbers)
                np.sqrt(squares, out=first[chunk])
    return first


def _clear_flat(
    deviations: NDArray[Any],
    windows_of: list[_Windows],
    rows: slice,
    size: tuple[int, int],
    errors: float,
    limit: float,
) -> None:
    """Set deviations to 0 that are no more than `limit`, and than so many `errors` of the samples of the window.

    One of these tells the size of all: if it is much larger than others, so is the deviation.
    """
    pixels: list[NDArray[Any]] = []
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(deviations.shape, _AT_A_TIME):
            part = deviations[chunk]
            doubtful = part <= limit
            if doubtful.any():
                pixels = pixels or [one.pixels(rows, size) for one in windows_of]
                sizes = sum(one.size_of(some[chunk]) for one, some in zip(windows_of, pixels))
                part[doubtful & (part <= errors * sizes)] = 0


def _largest_distance(plane: NDArray[Any], mean: float) -> float:
    """The largest finite distance of a pixel from the mean."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(plane.shape):
            part = plane[chunk]
            most = max(float(part.max()) - mean, mean - float(part.min()))
            if not most < math.inf:
                distances = np.abs(part - np.float64(mean))
                most = float(distances.max(initial=0.0, where=np.isfinite(distances)))
            largest = max(largest, most)
    return largest


class _Windows(NamedTuple):
    """The windows of a plane of pixels: distances from a mean, over a power of two."""

    source: Source
    plane: NDArray[Any]
    mean: float
    exponent: int
    dtype: np.dtype  # of distances and products

    @property
    def _fills(self) -> bool:
        return self.source.options.boundary in ("zero", "fill")

    @property
    def _outside(self) -> float:
        with np.errstate(all="ignore"):
            return float(np.ldexp(float(self.source.outside()) - self.mean, -self.exponent)) if self._fills else 0

    @property
    def _boundary(self) -> Any:
        return "fill" if self._fills else self.source.options.boundary

    @property
    def are_exact(self) -> bool:
        """Whether variances lose no digits as mean squares less the squares of means: those of bytes."""
        return self.plane.dtype == np.uint8 and (self.source.options.mode == "valid" or not self._fills)

    def _centred(self, rows: slice) -> NDArray[Any]:
        return template_scores.centred(self.plane[rows], self.mean, self.exponent, self.dtype)

    def _request(self, x: NDArray[Any], size: tuple[int, int], outside: float) -> windows.Request:
        return windows.Request(
            x.dtype, x.shape, self.source.axes, size, self.source.options.mode, self._boundary, outside, _DOUBLE
        )

    def products(self, taps: NDArray[Any]) -> NDArray[Any]:
        """The correlation with a template."""
        options = self.source.options
        return correlate2d(
            self._centred(slice(None)),
            taps,
            options.mode,
            axes=(self.source.axes[0], self.source.axes[1]),
            boundary=self._boundary,
            fill_value=self._outside,
            method=options.method,
            workers=options.workers,
        )

    def moments(self, rows: slice, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Means, and means of squares, of the pixels themselves in some rows."""
        x, workers = self.plane[rows], self.source.options.workers
        request = self._request(x, size, 0)
        means = template_scores.moments(x, request, False, workers)
        return means, template_scores.moments(x, request, True, workers)

    def deviations(self, rows: slice, size: tuple[int, int]) -> NDArray[Any]:
        """Standard deviations in some rows."""
        x = self._centred(rows)
        request = self._request(x, size, self._outside)._replace(deviations=True)
        return windows.compute(request, x, self.source.options.workers)

    def pixels(self, rows: slice, size: tuple[int, int]) -> NDArray[Any]:
        """A pixel of each window in some rows: the first one that is inside."""
        x = self.plane[rows]
        for axis, taps in zip(self.source.axes, size):
            found = span(self.source.options.mode, x.shape[axis], taps)
            first, extent = found.start - (taps - 1), x.shape[axis]
            if first == 0 and found.length <= extent:
                x = x[(slice(None),) * axis + (slice(found.length),)]
            else:
                x = x.take(np.arange(first, first + found.length).clip(0, extent - 1), axis)
        return x

    def size_of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """How large pixels are, as they are and as distances: both have rounding errors."""
        found = pixels.astype(_DOUBLE)
        size = np.abs(found) + np.abs(found - self.mean)
        return np.ldexp(size, -self.exponent) if self.exponent else size
