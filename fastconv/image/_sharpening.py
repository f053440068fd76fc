"""Filters that amplify differences and keep flat areas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import kernels
from fastconv._model.arguments import as_finite
from fastconv._model.message_formatting import shown
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.image._blurs import axis_count, gaussian_kernel
from fastconv.image._filter import filtered
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._source import Result, Source
from fastconv.image._sums_of_zero import LEVEL

if TYPE_CHECKING:
    from typing_extensions import Unpack


@takes_missing
def unsharp_mask(
    image: Picture,
    sigma: float | tuple[float, ...] = 2.0,
    amount: float = 1.0,
    threshold: float = 0,
    *,
    truncate: float = 4.0,
    **options: Unpack[KeywordsOfMissing],
) -> Picture | Any:
    """Sharpen a picture by unsharp masking: ``image + amount * (image - blurred)``.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`; or a volume, with `axes`.
    sigma : float or tuple of float
        Standard deviation of the Gaussian blur in pixels, or one for each axis, as in `gaussian_blur`.
    amount : float
        The weight of the difference; 1.5 is 150 percent.
    threshold : float
        Differences smaller than this are ignored, so that noise is not amplified; in linear light, with `linear`.
    truncate : float
        The radius at which the Gaussian is cut off, in standard deviations.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind. Where alpha is filtered, it is sharpened too, and the blur weights
        colours by it. A missing pixel becomes the blurred one.

    Raises
    ------
    ValueError
        If `amount` or `threshold` is not finite; and as `filter` and `fastconv.kernels.gaussian`.
    TypeError
        If `amount` or `threshold` is not a number; and as `filter`.

    See Also
    --------
    fastconv.kernels.unsharp : The same as a kernel, without a threshold.
    fastconv.kernels.sharpen : A small sharpening kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import unsharp_mask
    >>> step = np.array([[50, 50, 50, 100, 100, 100]], np.uint8)
    >>> unsharp_mask(step, sigma=0.5)
    array([[ 50,  50,  45, 105, 100, 100]], dtype=uint8)
    """
    amount, threshold = as_finite(amount, "amount"), as_finite(threshold, "threshold")
    checked = Options.of(unsharp_mask, options)
    source = Source.open(image, checked, axis_count(checked.axes))
    most = float(np.finfo(source.sums).max)
    if abs(amount) > most:
        raise ValueError(f"amount must be a number that {source.sums} can hold; got {shown(amount)}")
    kernel = gaussian_kernel(sigma, truncate, source)
    source.check_results(kernel.shape)
    premultiplied = source.premultiplies(kernel)
    result, shares = source.convolved(kernel, source.sums, premultiplied=premultiplied)
    missing = source.missing_at_results(kernel.shape) if source.may_miss else None
    original = source.at_results(kernel.shape)
    least = result.dtype.type(min(threshold / source.white, most))
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(result.shape):
            part, before = result[chunk], original[chunk]
            if missing is not None:
                before = np.where(missing[chunk], part, before)
            np.subtract(before, part, out=part)
            if threshold > 0:
                part[np.abs(part) < least] = 0
            part *= result.dtype.type(amount)
            part += before
    return source.closed(Result(result, shares), kernel.shape, source.has_alpha and not premultiplied)


@takes_missing
def emboss(image: Picture, **options: Unpack[KeywordsOfMissing]) -> Picture | Any:
    """Show a picture as a relief, lit from the upper left: `filter` with `fastconv.kernels.emboss`.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind; flat areas keep their brightness.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

    See Also
    --------
    filter : Convolve with any kernel.
    fastconv.kernels.emboss : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import emboss
    >>> emboss(np.array([[50, 50, 80, 80]] * 3, np.uint8))[1]
    array([ 50, 140, 170,  80], dtype=uint8)
    """
    source = Source.open(image, Options.of(emboss, options))
    source.check_valid((3, 3))
    return filtered(source, kernels.emboss(dtype=np.float64), level=LEVEL)
