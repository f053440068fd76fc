"""`filter`: convolve a picture, and return one of the same kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from PIL import Image

from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_bool,
    as_fill_value,
    as_finite,
    as_float,
    as_workers,
    check_no_fill_value,
    choice,
)
from fastconv._model.checks import as_out, check_kernel_size, overlaps_itself
from fastconv._model.geometry import BOUNDARIES, MODES, Run, runs, span
from fastconv._model.guarantees import FOOTPRINT
from fastconv._model.message_formatting import clipped
from fastconv._model.missing_data import NAN, as_missing, refuse_unused
from fastconv._model.separability import Separable
from fastconv._planning import missing_data, picture_plans
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import copy
from fastconv.convolution import Boundary, Mode, Nan
from fastconv.image._pillow_modes import Pixels

if TYPE_CHECKING:
    Picture = TypeVar("Picture", NDArray, Image.Image)
else:
    Picture = TypeVar("Picture")

Alpha = Literal["keep", "filter"]

_ALPHAS = ("keep", "filter")
_PIXELS = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "int32", "float32", "float64"))


def filter(
    image: Picture,
    kernel: ArrayLike,
    *,
    mode: Mode = "same",
    axes: tuple[int, ...] | None = None,
    boundary: Boundary = "reflect",
    fill_value: float = 0,
    correlate: bool = False,
    scale: float | None = None,
    offset: float = 0,
    alpha: Alpha = "keep",
    dtype: DTypeLike | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
    nan: Nan = "propagate",
    weights: ArrayLike | None = None,
    min_weight: float = 0.0,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: float | None = None,
) -> Picture | Any:
    """Convolve a picture, and return one of the same kind: rounded half to even, and saturated.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        A Pillow picture of ``W x H`` pixels, or an array of shape (H, W) or (H, W, C), or of any shape with `axes`.

        ================================  =====================================================
        mode, or dtype of an array        sums
        ================================  =====================================================
        L, RGB, CMYK, YCbCr, uint8        float32, or exact integers where the taps allow it
        LA, RGBA                          the same; see `alpha`
        1                                 as L, of 0 and 255; results of 128 or more are white
        I;16, I;16B, uint16, int16        float32
        I, int32                          float64
        F, float32                        float32; results are neither rounded nor saturated
        float64                           float64; likewise
        ================================  =====================================================

        Pixels of other modes, such as palettes, cannot be summed; ``image.convert("RGB")`` converts them. Channels are
        filtered independently, as stored. The EXIF orientation is not applied.
    kernel : array_like, shape (K, L)
        The taps, real and finite, rounded to the type of the sums. The kernel is flipped, as in `fastconv.convolve2d`.
        For sums in float64 make kernels of `fastconv.kernels` with ``dtype="float64"``.
    mode : {'same', 'full', 'valid'}
        Which outputs to compute: 'same' keeps the size, 'full' gives ``W + L - 1`` by ``H + K - 1`` pixels, and
        'valid', for kernels no larger than the picture, ``W - L + 1`` by ``H - K + 1``.
    axes : pair of int, optional
        The axes of an array to convolve along, rows first. By default the first two; required for more than three
        dimensions.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `fastconv.convolve1d`.
    fill_value : float
        The value outside in every channel, for ``boundary='fill'``; a value that a pixel can have.
    correlate : bool
        Correlate: do not flip the kernel.
    scale : float, optional
        The divisor of each sum, as in `PIL.ImageFilter.Kernel`. By default 1. With integer taps and a scale, sums are
        exact where fractions would be rounded.
    offset : float
        Added to each result after the division, but not to alpha: 128 makes signed results visible in 8 bits.
    alpha : {'keep', 'filter'}
        How to treat the alpha channel of LA and RGBA. 'keep' leaves it unchanged and filters colours as stored, even
        of transparent pixels. 'filter' filters it too, and premultiplies colours, so that transparent pixels do not
        bleed into others; it is meant for blurs, that is, kernels with a positive sum. A colour is then
        ``sum(colour * alpha) / sum(alpha) + offset``, independent of `scale`, or 0 if the sum of alphas is 0; alpha is
        ``sum(alpha) / scale``. In arrays every channel is a colour.
    dtype : {'float32', 'float64'}, optional
        Return an array of this type, neither rounded nor saturated, as for signed derivatives; for Pillow pictures too,
        since Pillow has no float colours. By default the result is of the same kind as `image`.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.
    out : ndarray, optional
        For arrays: the array to write the result to, of its shape and dtype. It may overlap `image`.
    nan, weights, min_weight, return_weight, normalize
        What to do about missing pixels, as in `fastconv.convolve1d`. Weights may also be those of pixels, (H, W), for
        all channels. A picture stays of its kind: 8 bits in, 8 bits out.
    missing_value : float, optional
        The result where too little is known, a value that a pixel can have; by default 0, or NaN for floats.

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture of the same mode with the same `info`, without "transparency": filtered pixels have no transparent
        colour. For an array, or with `dtype`, an array.

    Raises
    ------
    ValueError
        For a picture of another mode or without pixels, an array of another dtype, a kernel that is not 2-D, not
        finite, so large that sums may overflow, or larger than the picture in mode 'valid', a `scale` that is 0 or not
        finite, an `offset` that is not finite, a `fill_value` that no pixel can have, ``alpha='filter'`` for an array;
        and for `boundary`, `mode`, `axes`, `workers` and `out` as in `fastconv.convolve2d`.
    TypeError
        For a kernel that does not hold real numbers, a `scale` or an `offset` that is not a number, `axes` or `out`
        with a Pillow picture, and as `fastconv.convolve2d`.

    Notes
    -----
    In mode 'valid' a kept alpha channel is cropped; in mode 'full' it is extended by `boundary`.

    A float32 sum has an error of at most about ``K * L * eps * max * sum |kernel|``, with the largest pixel, `max`, and
    an `eps` of 6e-8, so a result that close to a half may be rounded to the other side. Sums of integer taps
    are exact for 8 bits as long as they stay below 2**24, and those of integer multiples of one number if the multiples
    add up to at most 257, unless the kernel is so large (about 15x15 taps that are not an outer product) that Fourier
    transforms are faster.

    With ``alpha='filter'`` colours of the result are not premultiplied, even with `dtype`.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> from fastconv import image, kernels
    >>> photo = Image.linear_gradient("L").convert("RGB")
    >>> image.filter(photo, kernels.gaussian(sigma=2)).mode
    'RGB'
    >>> frame = np.array([[0, 0, 0], [0, 90, 0], [0, 0, 0]], np.uint8)
    >>> image.filter(frame, kernels.box(), boundary="zero")
    array([[10, 10, 10],
           [10, 10, 10],
           [10, 10, 10]], dtype=uint8)
    >>> image.filter(frame, [[1, 0, -1]], boundary="zero", dtype="float32")
    array([[  0.,   0.,   0.],
           [ 90.,   0., -90.],
           [  0.,   0.,   0.]], dtype=float32)
    """
    check_variable_once()
    alpha = choice(alpha, "alpha", _ALPHAS)
    mode, boundary = choice(mode, "mode", MODES), choice(boundary, "boundary", BOUNDARIES)
    pixels, known, masked = Pixels.of_any(image), None, False
    if pixels is None:
        given, known, masked = missing_data.unmasked(image, "image")
        array = as_pixel_array(given, alpha)
        where = as_picture_axes(axes, array, len(kernel.lines) if isinstance(kernel, Separable) else 2)
    else:
        array, where = pixels.array, (0, 1)
        _check_picture_options(axes=axes, out=out)
    _pins = pinned(array)  # methods of other arguments may resize it
    may_miss = weights is not None or masked or choice(nan, "nan", NAN) == "ignore"
    if not may_miss:
        refuse_unused(min_weight, return_weight, normalize, missing_value)
    premultiplied = pixels is not None and pixels.has_alpha and alpha == "filter"
    request = request_of(array, where, mode, boundary, fill_value, correlate, scale, offset, dtype, premultiplied)
    taps = as_taps(kernel, request)
    if may_miss:
        treatment = nan, weights, min_weight, as_bool(return_weight, "return_weight"), normalize, missing_value
        source = array, known, masked
        return _filter_missing(request, taps, pixels, source, alpha, dtype is None, as_workers(workers), out, treatment)
    prepared = picture_plans.find(request, taps)
    if pixels is None:
        return _filter_array(prepared, array, array.dtype if dtype is None else request.dtype, workers, out)
    result = np.empty(prepared.shape, request.dtype)
    prepared(array, result, as_workers(workers))
    if pixels.has_alpha and alpha == "keep":
        # Alpha was convolved too: 3 of 4 interleaved channels take 2 to 20 times as long with small kernels.
        copy(result[..., -1], _kept_alpha(array[..., -1], taps.shape, request))
    return pixels.picture(result) if dtype is None else result


def request_of(
    array: NDArray, axes: tuple[int, ...], mode, boundary, fill_value, correlate, scale, offset, dtype, premultiplied
) -> picture_plans.Request:
    """Return the request for an array of pixels; mode and boundary are checked before."""
    native = array.dtype.newbyteorder("=")
    return picture_plans.Request(
        x_dtype=array.dtype,
        x_shape=array.shape,
        dtype=native if dtype is None else as_float(dtype, "None, float32 or float64"),
        mode=mode,
        axes=axes,
        boundary=boundary,
        fill_value=_as_pixel_value(fill_value, boundary, native),
        scale=1.0 if scale is None else as_finite(scale, "scale", but_zero=True),
        offset=as_finite(offset, "offset"),
        flip=not as_bool(correlate, "correlate"),
        premultiplied=premultiplied,
    )


def _filter_missing(request, taps, pixels, source, alpha, keeps_kind, workers, out, treatment) -> Any:
    """Filter a picture of which pixels may be missing."""
    nan, weights, min_weight, returns_weight, normalize, missing_value = treatment
    array, known, masked = source
    if request.premultiplied:
        raise ValueError("alpha must be 'keep' where pixels may be missing; got 'filter'")
    if weights is not None:
        weights = as_array(weights, "weights")
        if are_of_pixels(weights.shape, request):
            weights = weights[..., np.newaxis]
        weights = missing_data.as_weights(weights, array.shape, request.dtype)
    plan = missing_data.find(request_of_missing(request, nan, min_weight, normalize, missing_value), taps)
    if pixels is None:
        found = missing_data.run(plan, array, known, weights, masked, out, returns_weight, workers)
        if out is not None or not keeps_kind or array.dtype.isnative:
            return found
        result, *shares = found if returns_weight else (found,)
        result = result.astype(array.dtype)
        return (result, *shares) if returns_weight else result
    result, *shares = missing_data.run(plan, array, None, weights, False, None, True, workers)
    if pixels.has_alpha and alpha == "keep":
        copy(result[..., -1], _kept_alpha(array[..., -1], taps.shape, request))
    picture = pixels.picture(result) if keeps_kind else result
    return (picture, *shares) if returns_weight else picture


def are_of_pixels(shape: tuple[int, ...], request: picture_plans.Request) -> bool:
    """Whether weights of this shape are those of pixels, for all channels."""
    return len(request.x_shape) == 3 and request.axes == (0, 1) and shape == request.x_shape[:2]


def request_of_missing(
    request: picture_plans.Request, nan, min_weight, normalize, missing_value
) -> missing_data.Request:
    """Return the request for the same picture, of which pixels may be missing."""
    missing = as_missing(nan, min_weight, normalize, missing_value, request.dtype)
    shown_as = missing_data.Pixels(request.dtype, request.scale, request.offset)
    options = request.mode, request.axes, request.boundary, request.fill_value, "auto", request.flip, FOOTPRINT
    return missing_data.Request("image", request.x_dtype, request.x_shape, *options, missing, shown_as)


def sums_type(image: Any) -> np.dtype:
    """Return the type of the sums for a picture or an array."""
    if isinstance(image, Image.Image):
        return np.dtype(np.float64 if image.mode == "I" else np.float32)
    dtype = missing_data.unmasked(image, "image")[0].dtype.newbyteorder("=")
    return np.result_type(dtype, np.float32) if dtype in _PIXELS else np.dtype(np.float32)


def _filter_array(prepared: picture_plans.Picture, array: NDArray, dtype: np.dtype, workers: Any, out: Any) -> Any:
    """Filter `array` into `out` or a new array of `dtype`; through a copy where `out` cannot be written to directly."""
    given = None if out is None else as_out(out, prepared.shape, dtype)
    native = dtype.newbyteorder("=")
    if given is None or given.dtype != native or np.may_share_memory(given, array) or overlaps_itself(given):
        result = np.empty(prepared.shape, native)
    else:
        result = given
    prepared(array, result, as_workers(workers))
    if given is None:
        return result.astype(dtype, copy=False)
    if result is not given:
        copy(given, result)
    return out


def _kept_alpha(alpha: NDArray, extents: tuple[int, ...], request: picture_plans.Request) -> NDArray:
    """Return `alpha` at the pixels of the result: cropped in mode 'valid', extended by the boundary in 'full'."""
    for taps in extents:  # rows, then columns: each pass works along the first axis and transposes
        length, start = span(request.mode, len(alpha), taps)
        found = runs(start - (taps - 1) // 2, length, len(alpha), BOUNDARIES.index(request.boundary))
        parts = [_samples(alpha, run, request.fill_value) for run in found]
        alpha = (parts[0] if len(parts) == 1 else np.concatenate(parts)).T
    return alpha


def _samples(rows: NDArray, run: Run, fill_value: float) -> NDArray:
    """Return the rows of a run."""
    if run.source < 0:
        return np.full((run.length, *rows.shape[1:]), fill_value, rows.dtype)
    if run.direction == 0:
        return np.repeat(rows[run.source : run.source + 1], run.length, axis=0)
    first = min(run.source, run.source + run.direction * (run.length - 1))
    return rows[first : first + run.length][:: run.direction]


def _check_picture_options(**options: Any) -> None:
    """Raise a TypeError if an option for arrays is given with a Pillow picture."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{name} is only for arrays; image is a Pillow picture")


def _as_pixel_value(fill_value: Any, boundary: str, dtype: np.dtype) -> Any:
    """Return the fill value as a pixel; 0 for other boundaries."""
    if boundary == "fill":
        return as_fill_value(fill_value, dtype)
    check_no_fill_value(fill_value)
    return 0


def as_pixel_array(image: Any, alpha: str) -> NDArray:
    array = as_array(image, "image").view()
    if array.dtype.newbyteorder("=") not in _PIXELS:
        names = ", ".join(map(str, _PIXELS))
        raise ValueError(f"image must be a Pillow picture or an array of {names}; got dtype {clipped(array.dtype)}")
    if array.ndim < 2:
        raise ValueError(f"image must have at least 2 dimensions; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"image must not be empty; got shape {array.shape}")
    if alpha == "filter":
        raise ValueError("alpha='filter' is for Pillow pictures; got an array, in which every channel is a colour")
    return array


def as_picture_axes(axes: Any, array: NDArray, count: int) -> tuple[int, ...]:
    if axes is None:
        if array.ndim > 3:
            raise ValueError(f"axes must be given for an image of more than 3 dimensions; got shape {array.shape}")
        return 0, 1
    return as_axes(axes, count, array.ndim, "axes")


def as_taps(kernel: ArrayLike | Separable, request: picture_plans.Request) -> NDArray[np.float64] | Separable:
    """Return the kernel as float64, its shape checked; `picture_plans` checks the values, once per kernel."""
    if isinstance(kernel, Separable):
        return kernel
    given = as_array(kernel, "kernel").view()
    if given.dtype.kind not in "biuf":
        raise TypeError(f"kernel must hold real numbers; got dtype {clipped(given.dtype)}")
    if given.ndim != 2:
        raise ValueError(f"kernel must be 2-D; got shape {given.shape}")
    if given.size == 0:
        raise ValueError(f"kernel must not be empty; got shape {given.shape}")
    extents = tuple(request.x_shape[axis] for axis in request.axes)
    if request.mode == "valid" and any(extent > room for extent, room in zip(given.shape, extents)):
        raise ValueError(f"kernel must be no larger than image in mode 'valid'; got {given.shape} and {extents}")
    check_kernel_size(given.shape, np.dtype(np.float64))
    with np.errstate(all="ignore"):
        return given.astype(np.float64)
