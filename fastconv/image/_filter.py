"""`filter`: convolve a picture, and return one of the same kind."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_array, as_bool, as_finite
from fastconv._model.checks import check_kernel_size
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.missing_data import refuse_unused
from fastconv._model.separability import Separable
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._missing_pixels import levelled
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._source import Source

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes_missing
def filter(
    image: Picture,
    kernel: ArrayLike,
    *,
    correlate: bool = False,
    scale: float | None = None,
    offset: float = 0,
    normalize: bool = True,
    **options: Unpack[KeywordsOfMissing],
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
        I;16, I;16B, int8, uint16, int16  float32
        I, int32, uint32, int64, uint64   float64: pixels beyond 2**53 are rounded
        F, float16, float32               float32; results are neither rounded nor saturated
        float64                           float64; likewise
        bool                              float32, of 0 and 1; results are float32
        ================================  =====================================================

        Pixels of other modes, such as palettes, cannot be summed; ``image.convert("RGB")`` converts them. Channels are
        filtered independently, as stored. The EXIF orientation is not applied.
    kernel : array_like, shape (K, L)
        The taps, real and finite, rounded to the type of the sums. The kernel is flipped, as in `fastconv.convolve2d`.
        For sums in float64 make kernels of `fastconv.kernels` with ``dtype="float64"``.
    correlate : bool
        Correlate: do not flip the kernel.
    scale : float, optional
        The divisor of each sum, as in `PIL.ImageFilter.Kernel`. By default 1. With integer taps and a scale, sums are
        exact where fractions would be rounded.
    offset : float
        Added to each result after the division, but not to alpha: 128 makes signed results visible in 8 bits.
    normalize : bool
        Where pixels may be missing, as in `fastconv.convolve1d`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture of the same mode with the same `info`, without "transparency": filtered pixels have no transparent
        colour. For an array, or with `dtype`, an array: of the dtype of `image`, but float32 for bools.

    Raises
    ------
    ValueError
        For a picture of another mode or without pixels, an array of another dtype, a kernel that is not 2-D, not
        finite, so large that sums may overflow, or larger than the picture in mode 'valid', a `scale` that is 0 or not
        finite, an `offset` that is not finite or not 0 with `linear`, a `fill_value` that no pixel can have,
        ``alpha='filter'`` for an array without an `alpha_channel`, `linear` for pixels that are not sRGB; and for the
        other options as in `fastconv.convolve2d`.
    TypeError
        For a kernel that does not hold real numbers, a `scale` or an `offset` that is not a number, `axes`,
        `alpha_channel` or `out` with a Pillow picture, and as `fastconv.convolve2d`.

    See Also
    --------
    gaussian_blur : Blur by a Gaussian.
    fastconv.convolve2d : Convolve arrays of any dtype, without rounding to pixels.

    Notes
    -----
    In mode 'valid' a kept alpha channel is cropped; in mode 'full' it is extended by `boundary`.

    A float32 sum has an error of at most about ``K * L * eps * max * sum |kernel|``, with the largest pixel, `max`, and
    an `eps` of 6e-8, so a result that close to a half may be rounded to the other side. Sums of integer taps
    are exact for 8 bits as long as they stay below 2**24, and those of integer multiples of one number if the multiples
    add up to at most 257, unless the kernel is so large (about 15x15 taps that are not an outer product) that Fourier
    transforms are faster.

    Where alpha is filtered, a colour is ``sum(colour * alpha) / sum(alpha) + offset``, or 0 if the sum of alphas is 0;
    alpha is ``sum(alpha) / scale``. With 'auto' the quotient is multiplied by ``sum(kernel) / scale``, so that opaque
    pictures give the same as without alpha. Colours of the result are not premultiplied, even with `dtype`.

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
    checked = Options.of(filter, options)
    source = Source.open(image, checked)
    divisor, added, flip = checked_sums(source, scale, offset, correlate)
    return filtered(source, as_taps(kernel, source), divisor, added, flip, normalize)


def checked_sums(source: Source, scale: Any, offset: Any, correlate: Any) -> tuple[float, float, bool]:
    """Check what is done to sums: divisor and offset; and whether kernels are flipped."""
    divisor = 1.0 if scale is None else as_finite(scale, "scale", but_zero=True)
    added, flip = as_finite(offset, "offset"), not as_bool(correlate, "correlate")
    if added and source.options.linear:
        raise ValueError(f"offset must be 0 for linear=True; got {shown(offset)}")
    return divisor, added, flip


class How(NamedTuple):
    """What a convolution of a picture computes: sums of this type and by these options, which are amplified."""

    dtype: np.dtype
    options: dict[str, Any]
    gain: float

    @classmethod
    def of(
        cls,
        source: Source,
        kernel: NDArray[np.floating] | Separable,
        scale: float,
        offset: float,
        flip: bool,
        normalize,
    ) -> How:
        """Check the options for missing pixels too."""
        options, premultiplied = source.options, source.premultiplies(kernel, scale)
        if not source.may_miss:
            refuse_unused(options.min_weight, options.return_weight, normalize, options.missing_value)
        gain = source.gain(kernel, scale) if premultiplied and options.alpha == "auto" else 1.0
        how: dict[str, Any] = {
            "scale": scale,
            "offset": offset,
            "flip": flip,
            "normalize": normalize,
            "premultiplied": premultiplied,
        }
        if gain != 1:
            return cls(source.sums, {**how, "offset": 0.0}, gain)
        if not source.is_plain:
            return cls(source.sums, how, gain)
        how["missing_value"] = options.missing_value
        return cls(source.dtype if options.dtype is None else options.dtype, how, gain)


def filtered(
    source: Source,
    kernel: NDArray[np.floating] | Separable,
    scale: float = 1.0,
    offset: float = 0.0,
    flip: bool = True,
    normalize: Any = True,
    level: NDArray[np.floating] | Separable | None = None,
) -> Any:
    """Convolve an opened picture, and return one of the same kind; pixels are rounded as they are computed.

    With `level`, a kernel, missing pixels are taken as the mean by it of those that are known: see `levelled`.
    """
    if level is not None and source.may_miss:
        return source.closed(levelled(source, kernel, level, scale), kernel.shape, source.has_alpha)
    how = How.of(source, kernel, scale, offset, flip, normalize)
    keeps_alpha = source.has_alpha and not how.options["premultiplied"]
    out = None
    if source.options.out is not None:
        out = source.target(kernel.shape, source.dtype if source.options.dtype is None else source.options.dtype)
    if how.gain != 1:
        sums = source.convolved(kernel, how.dtype, **how.options)
        _amplify(sums.values, how.gain, offset)
        return source.closed(sums, kernel.shape, False)
    if not source.is_plain:
        return source.closed(source.convolved(kernel, how.dtype, **how.options), kernel.shape, keeps_alpha)
    result = source.convolved(kernel, how.dtype, **how.options, out=out)
    if keeps_alpha:
        source.keep_alpha(result.values, kernel.shape)
    return source.returned(*result)


def _amplify(values: NDArray[Any], gain: float, offset: float) -> None:
    """Multiply the colours of visible pixels by the sum of the taps, in place, and add the offset."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(values.shape[:-1]):
            part = values[chunk]
            np.multiply(part[..., :-1], part.dtype.type(gain), out=part[..., :-1])
            np.add(part[..., :-1], part.dtype.type(offset), out=part[..., :-1], where=part[..., -1:] != 0)


def as_taps(kernel: ArrayLike, source: Source) -> NDArray[np.float64]:
    """Return the kernel as float64, its shape checked; `picture_plans` checks the values, once per kernel."""
    if issubclass(type(kernel), str):
        raise TypeError(f"kernel must be an array of taps, as kernels.named makes one by a name; got {shown(kernel)}")
    if inspect.isroutine(kernel):
        raise TypeError(f"kernel must be an array of taps; got a function to be called first, {shown(kernel)}")
    given = as_array(kernel, "kernel").view()
    if given.dtype.kind not in "biuf":
        raise TypeError(f"kernel must hold real numbers; got dtype {clipped(given.dtype)}")
    if given.ndim != 2:
        raise ValueError(f"kernel must be 2-D; got shape {given.shape}")
    if given.size == 0:
        raise ValueError(f"kernel must not be empty; got shape {given.shape}")
    source.check_valid(given.shape)
    check_kernel_size(given.shape, _DOUBLE)
    if given.dtype == _DOUBLE:
        return given.copy()
    if given.nbytes <= _MOST_KEPT:
        return _as_double(given.tobytes(), given.dtype, given.shape)
    with np.errstate(all="ignore"):
        return given.astype(_DOUBLE)


_DOUBLE = np.dtype(np.float64)
# Bytes of a kernel whose conversion is kept between calls: ignoring warnings takes longer than the conversion.
_MOST_KEPT = 1 << 12


@kept
def _as_double(content: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        found = np.frombuffer(content, dtype).reshape(shape).astype(_DOUBLE)
    found.setflags(write=False)
    return found
