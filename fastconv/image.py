"""Convolution of Pillow pictures.

`convolve_image` is for everybody; `apply` and `saturate` serve the command.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from fastconv.convolution import Boundary, Mode, convolve2d

__all__ = ["convolve_image"]

PIXEL_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I", "F")


def convolve_image(
    image: Image.Image,
    kernel: ArrayLike,
    mode: Mode = "same",
    *,
    boundary: Boundary = "reflect",
    fill_value: float = 0,
    offset: float = 0,
    workers: int | None = None,
) -> Image.Image:
    """Convolve a picture: each colour by itself, rounded half to even and saturated.

    Parameters
    ----------
    image : PIL.Image.Image
        ``W x H`` pixels of one of these modes:

        ============  =======================================================
        L, RGB        8 bits: the kernel and the sums are float32
        LA, RGBA      as L and RGB; the alpha channel is not filtered
        I;16, I;16B   16 bits: float32
        I             32 bits, signed: float64, in which every pixel is exact
        F             float32; results are neither rounded nor saturated
        ============  =======================================================

        Others, a palette or one bit say, have no numbers to add: ``image.convert("RGB")`` makes some.
    kernel : array_like, shape (K, L)
        The taps, real and finite. Rows go down. The kernel is flipped, as `fastconv.convolve2d` does.
    mode : {'full', 'same', 'valid'}
        'same' keeps the size, 'full' gives ``W + L - 1`` by ``H + K - 1`` pixels, and 'valid' ``abs(W - L) + 1`` by
        ``abs(H - K) + 1``.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        What is outside of the picture, as in `fastconv.convolve1d`.
    fill_value : float
        The value outside for ``boundary='fill'``, in every channel; one that a pixel can have.
    offset : float
        Added to every result, but not to alpha: 128 shows a signed result in 8 bits.
    workers : int, optional
        The most threads to use, as in `fastconv.convolve1d`.

    Returns
    -------
    PIL.Image.Image
        A new picture of the same mode. `info` is copied, except for "transparency": a colour that stood for
        transparent means nothing among the results.

    Raises
    ------
    ValueError
        For another mode of picture, a picture without pixels, a kernel that is not 2-D or so large that sums may
        overflow, a `fill_value` that no pixel can have, an `offset` that is not finite; and as `fastconv.convolve2d`.
    TypeError
        For an `image` that is not a Pillow picture and a kernel that does not hold real numbers; and as
        `fastconv.convolve2d`.

    Notes
    -----
    Alpha moves with its pixels: unchanged in 'same', cropped in 'valid', continued by `boundary` in 'full' (so
    transparent beyond the edge for 'zero'). Colours are filtered as they are stored, also where they are transparent.

    A float32 sum is off by at most about ``K * L * eps * 65535 * sum |kernel|`` for 16 bits (eps is 6e-8), so a
    result that is that near to a half may be rounded to the other side.

    Examples
    --------
    >>> from PIL import Image
    >>> from fastconv import kernels
    >>> from fastconv.image import convolve_image
    >>> image = Image.new("L", (5, 5))
    >>> image.putpixel((2, 2), 90)
    >>> blurred = convolve_image(image, kernels.box())
    >>> blurred.mode, blurred.size, blurred.getpixel((1, 1)), blurred.getpixel((0, 0))
    ('L', (5, 5), 10, 0)
    >>> convolve_image(image, kernels.box(), "full").size
    (7, 7)
    """
    return apply(convolve2d, image, kernel, mode, boundary, fill_value, offset, workers)


def apply(
    convolve: Callable[..., NDArray[Any]],
    image: Image.Image,
    kernel: ArrayLike,
    mode: Mode,
    boundary: Boundary,
    fill_value: float,
    offset: float,
    workers: int | None,
) -> Image.Image:
    """`convolve_image`, with the `convolve2d` to use for the colours: the command passes one with a stopwatch."""
    pixels, alpha = planes(image)
    taps = _taps(kernel, pixels.dtype, offset)
    if boundary == "fill":
        _check_fill_value(fill_value, pixels.dtype, image.mode)
    options: dict[str, Any] = dict(axes=(0, 1), boundary=boundary, fill_value=fill_value, workers=workers)
    result = convolve(pixels, taps, mode, **options)
    if offset != 0:
        with np.errstate(over="ignore"):  # only pixels of mode F can be that large
            result += offset
    result = saturate(result, pixels.dtype)
    if alpha is not None:
        if mode != "same":
            # The kernel that leaves 'same' unchanged crops in 'valid' and continues by the boundary in 'full'.
            shift = np.zeros_like(taps)
            shift[(taps.shape[0] - 1) // 2, (taps.shape[1] - 1) // 2] = 1
            alpha = saturate(convolve2d(alpha, shift, mode, **options), alpha.dtype)
        result = np.dstack([result, alpha])
    picture = Image.fromarray(result)
    picture.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return picture


def planes(image: Image.Image) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The colours, of shape (H, W) or (H, W, 3), and the alpha channel, (H, W), or None."""
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a PIL.Image.Image; got {type(image).__name__}")
    if image.mode not in PIXEL_MODES:
        raise ValueError(
            f"image must have a mode of {', '.join(PIXEL_MODES)}; got {image.mode!r} (image.convert changes it)"
        )
    pixels = np.asarray(image)
    if image.mode == "LA":
        return pixels[..., 0], pixels[..., 1]
    if image.mode == "RGBA":
        return pixels[..., :3], pixels[..., 3]
    return pixels, None


def saturate(result: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """`result` as pixels of type `dtype`, rounded half to even; `result` is overwritten."""
    if dtype.kind == "f":
        return result.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    np.rint(result, out=result)
    np.clip(result, limits.min, limits.max, out=result)
    return result.astype(dtype)


def _taps(kernel: ArrayLike, dtype: np.dtype, offset: float) -> NDArray[np.floating]:
    """The kernel in the type of the sums, if no sum of pixels can leave it: a NaN or infinity has no pixel."""
    given = np.asarray(kernel)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"kernel must hold real numbers; got dtype {given.dtype}")
    if given.ndim != 2:
        raise ValueError(f"kernel must be 2-D; got shape {given.shape}")
    if not math.isfinite(offset):
        raise ValueError(f"offset must be finite; got {offset!r}")
    largest = 1 if dtype.kind == "f" else max(abs(int(limit)) for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    with np.errstate(over="ignore"):
        taps = given.astype(np.result_type(dtype, np.float32), copy=False)
        bound = float(np.abs(taps).sum(dtype=np.float64)) * largest + abs(offset)
    if not bound < float(np.finfo(taps.dtype).max):
        raise ValueError(f"kernel must be finite, with sums that {taps.dtype} can hold; they may reach {bound:.3g}")
    return taps


def _check_fill_value(fill_value, dtype: np.dtype, mode: str) -> None:
    if dtype.kind == "f":
        if math.isfinite(fill_value) and abs(fill_value) > float(np.finfo(dtype).max):
            raise ValueError(f"fill_value must be a number that {dtype} can hold; got {fill_value!r}")
        return
    limits = np.iinfo(dtype)
    if not limits.min <= fill_value <= limits.max:
        raise ValueError(
            f"fill_value must lie in {limits.min} .. {limits.max} for an image of mode {mode!r}; got {fill_value!r}"
        )
