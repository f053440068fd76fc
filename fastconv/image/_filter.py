"""`filter`: a picture through a kernel, and a picture of the same kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from PIL import Image

from fastconv._model.arguments import (
    as_array,
    as_axes,
    as_fill_value,
    as_finite,
    as_float,
    as_out,
    as_truth,
    as_workers,
    check_no_fill_value,
    check_room,
    choice,
    clipped,
    overlaps_itself,
)
from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.separability import Separable
from fastconv._planning import picture_plans
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.chunks import copy
from fastconv._runtime.thread_pool import check_variable_once
from fastconv.convolution import Boundary, Mode
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
    boundary: Boundary = "reflect",
    mode: Mode = "same",
    fill_value: float = 0,
    scale: float | None = None,
    offset: float = 0,
    alpha: Alpha = "keep",
    correlate: bool = False,
    dtype: DTypeLike | None = None,
    axes: tuple[int, int] | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> Picture:
    """Convolve a picture, and return one of the same kind: rounded half to even, and saturated.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        A Pillow picture of ``W x H`` pixels, or an array of shape (H, W) or (H, W, C), or of any shape with `axes`.

        ================================  =====================================================
        mode, or type of an array         sums
        ================================  =====================================================
        L, RGB, CMYK, YCbCr, uint8        float32, or exact integers where the taps allow it
        LA, RGBA                          the same; see `alpha`
        1                                 as L, of 0 and 255; white is what is 128 or more
        I;16, I;16B, uint16, int16        float32
        I, int32                          float64
        F, float32                        float32; results are neither rounded nor saturated
        float64                           float64; likewise
        ================================  =====================================================

        Other modes, a palette say, have no numbers to add: ``image.convert("RGB")`` makes some. Channels are filtered
        as they are stored, each by itself, and EXIF's orientation is left as it is.
    kernel : array_like, shape (K, L)
        The taps, real and finite, rounded to the type of the sums. Rows go down. The kernel is flipped, as in
        `fastconv.convolve2d`. For sums in float64 make kernels of `fastconv.kernels` with ``dtype="float64"``.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        What is outside of the picture, as in `fastconv.convolve1d`.
    mode : {'same', 'valid', 'full'}
        'same' keeps the size, 'full' gives ``W + L - 1`` by ``H + K - 1`` pixels, and 'valid', for kernels no larger
        than the picture, ``W - L + 1`` by ``H - K + 1``.
    fill_value : float
        The value outside for ``boundary='fill'``, in every channel; one that a pixel can have.
    scale : float, optional
        What each sum is divided by, as in `PIL.ImageFilter.Kernel`; None for 1. With whole taps and a scale, sums are
        exact where they would not be with fractions.
    offset : float
        What is added to each result after that, but not to alpha: 128 shows a signed result in 8 bits.
    alpha : {'keep', 'filter'}
        What becomes of the alpha channel of LA and RGBA. 'keep' leaves it as it is, and filters colours as they are
        stored, also where they are transparent. 'filter' filters it too, and has colours count by how opaque they are
        (they are premultiplied), so that what is transparent does not bleed into the rest; for kernels that blur, that
        is, with a positive sum. A colour is ``sum(colour * alpha) / sum(alpha) + offset``, whatever the `scale`, and 0
        where the sum of alphas is; alpha is ``sum(alpha) / scale``. Arrays have no alpha channel that could be known:
        all their channels are colours.
    correlate : bool
        Leave the kernel as it is instead of flipping it.
    dtype : {'float32', 'float64'}, optional
        For an array of that type, neither rounded nor saturated: slopes have signs. Also of a Pillow picture an array,
        since Pillow has no mode for colours of floats. With ``alpha='filter'`` its colours are not premultiplied.
    axes : pair of int, optional
        The axes to convolve along, of an array. By default the first two; more than three dimensions have no default.
    workers : int, optional
        The most threads to use, as in `fastconv.convolve1d`.
    out : ndarray, optional
        Where to write the result of an array, of its shape and type. It may be the input.

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture of the same mode, with the same `info` (but for "transparency": a colour that stood for transparent
        means nothing among the results), or an array of the same type.

    Raises
    ------
    ValueError
        For a picture of another mode or without pixels, an array of another type, a kernel that is not 2-D, not finite,
        or so large that sums may overflow, one larger than the picture in mode 'valid', a `scale` that is 0 or not
        finite, an `offset` that is not finite, a `fill_value` that no pixel can have, ``alpha='filter'`` for an array;
        and for `boundary`, `mode`, `axes`, `workers` and `out` as in `fastconv.convolve2d`.
    TypeError
        For a kernel that does not hold real numbers, a `scale` or an `offset` that is no number, `axes` or `out` with a
        Pillow picture, and as `fastconv.convolve2d`.

    Notes
    -----
    In mode 'valid' or 'full' an alpha that is kept is cropped, or continued by `boundary`.

    A float32 sum is off by at most about ``K * L * eps * most * sum |kernel|``, with the largest pixel, `most`, and an
    `eps` of 6e-8, so a result that is that near to a half may be rounded to the other side. Sums of whole taps, or of
    whole multiples of one number, are exact for 8 bits as long as they stay below 2**24 and the kernel is not so large
    (some 15x15 taps that are no outer product) that Fourier transforms are faster.

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
    pixels = Pixels.of_any(image)
    alpha = choice(alpha, "alpha", _ALPHAS)
    mode, boundary = choice(mode, "mode", MODES), choice(boundary, "boundary", BOUNDARIES)
    if pixels is None:
        array = _as_pixel_array(image)
        if alpha == "filter":
            raise ValueError("alpha='filter' is for Pillow pictures; got an array, whose alpha channel nobody knows")
        where = _as_picture_axes(axes, array)
    else:
        for name, value in (("axes", axes), ("out", out)):
            if value is not None:
                raise TypeError(f"{name} is for arrays; got it with a Pillow picture")
        array, where = pixels.array, (0, 1)
    _pins = pinned(array)  # the methods of other arguments may do anything to it
    premultiplied = pixels is not None and pixels.has_alpha and alpha == "filter"
    native = array.dtype.newbyteorder("=")
    wanted = native if dtype is None else as_float(dtype, "None, float32 or float64")
    if boundary == "fill":
        fill_value = as_fill_value(fill_value, native)
    else:
        check_no_fill_value(fill_value)
        fill_value = 0
    request = picture_plans.Request(
        x_dtype=array.dtype,
        x_shape=array.shape,
        dtype=wanted,
        mode=mode,
        axes=where,
        boundary=boundary,
        fill_value=fill_value,
        scale=1.0 if scale is None else as_finite(scale, "scale", but_zero=True),
        offset=as_finite(offset, "offset"),
        flip=not as_truth(correlate, "correlate"),
        premultiplied=premultiplied,
    )
    taps = _as_taps(kernel, request)
    found = picture_plans.find(request, taps)
    given = None if out is None else as_out(out, found.shape, array.dtype if dtype is None else wanted)
    if given is None or given.dtype != wanted or np.may_share_memory(given, array) or overlaps_itself(given):
        result = np.empty(found.shape, wanted)
    else:
        result = given
    workers = as_workers(workers)
    found(array, result, workers)
    if given is not None:
        if result is not given:
            copy(given, result)
        return out  # type: ignore[return-value]
    if pixels is None:
        return result.astype(array.dtype, copy=False) if dtype is None else result  # type: ignore[return-value]
    if pixels.has_alpha and alpha == "keep":
        _restore_alpha(result, array, taps.shape, request, workers)
    return pixels.picture(result) if dtype is None else result  # type: ignore[return-value]


def sums_type(image: Any) -> np.dtype:
    """The type that sums of the pixels of `image`, a picture or an array, are taken in."""
    if isinstance(image, Image.Image):
        return np.dtype(np.float64 if image.mode == "I" else np.float32)
    dtype = as_array(image, "image").dtype.newbyteorder("=")
    return np.result_type(dtype, np.float32) if dtype in _PIXELS else np.dtype(np.float32)


def _restore_alpha(result: NDArray, array: NDArray, extents: tuple[int, ...], request: Any, workers) -> None:
    """Put the alpha channel of `array` into `result`, cropped or continued."""
    if request.mode == "same":
        kept = array
    else:
        # The kernel that leaves 'same' unchanged crops in 'valid' and continues by the boundary in 'full'.
        shift = np.zeros(extents)
        middle = tuple((extent - 1) // 2 for extent in extents)
        shift[middle if request.flip else tuple(extent - 1 - m for extent, m in zip(extents, middle))] = 1
        found = picture_plans.find(request._replace(scale=1.0, offset=0.0, dtype=array.dtype), shift)
        kept = np.empty(found.shape, array.dtype)
        found(array, kept, workers)
    result[..., -1] = kept[..., -1]


def _as_pixel_array(image: Any) -> NDArray:
    array = as_array(image, "image").view()
    if array.dtype.newbyteorder("=") not in _PIXELS:
        names = ", ".join(map(str, _PIXELS))
        raise ValueError(f"image must be a Pillow picture or an array of {names}; got dtype {clipped(array.dtype)}")
    if array.ndim < 2:
        raise ValueError(f"image must have at least 2 dimensions; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"image must not be empty; got shape {array.shape}")
    return array


def _as_picture_axes(axes: Any, array: NDArray) -> tuple[int, int]:
    if axes is None:
        if array.ndim > 3:
            raise ValueError(f"axes must be given for an image of more than 3 dimensions; got shape {array.shape}")
        return 0, 1
    first, second = as_axes(axes, 2, array.ndim, "axes")
    return first, second


def _as_taps(kernel: ArrayLike | Separable, request: picture_plans.Request) -> NDArray[np.float64] | Separable:
    """The taps, if they are a kernel for such a picture; `picture_plans` checks their values, once for each kernel."""
    if isinstance(kernel, Separable):
        return kernel
    given = as_array(kernel, "kernel")
    if given.dtype.kind not in "biuf":
        raise TypeError(f"kernel must hold real numbers; got dtype {clipped(given.dtype)}")
    if given.ndim != 2:
        raise ValueError(f"kernel must be 2-D; got shape {given.shape}")
    if given.size == 0:
        raise ValueError(f"kernel must not be empty; got shape {given.shape}")
    extents = tuple(request.x_shape[axis] for axis in request.axes)
    if request.mode == "valid" and any(extent > room for extent, room in zip(given.shape, extents)):
        raise ValueError(f"kernel must be no larger than image in mode 'valid'; got {given.shape} and {extents}")
    check_room(given.shape, np.dtype(np.float64))
    with np.errstate(all="ignore"):
        return given.astype(np.float64)
