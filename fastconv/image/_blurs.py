"""Blurs: Gaussian and motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import kernels
from fastconv._model.separability import Separable
from fastconv.image._filter import filtered
from fastconv.image._options import KeywordsOfMissing, Options, Picture, takes_missing
from fastconv.image._source import Source
from fastconv.kernels._profiles import gaussian_profiles, not_negative

if TYPE_CHECKING:
    from typing_extensions import Unpack


def axis_count(axes: Any) -> int:
    """The number of axes of a Gaussian: two, or as many as are given."""
    several = isinstance(axes, (tuple, list)) or (isinstance(axes, np.ndarray) and axes.ndim)
    return max(2, len(axes)) if several else 2


def gaussian_kernel(sigma: Any, truncate: Any, source: Source, order: Any = 0) -> Separable:
    """A Gaussian for the axes of a picture, by its factors; a sigma of 0 is the identity."""
    lines = gaussian_profiles(sigma, truncate, len(source.axes), order, not_negative)
    kernel = Separable(lines, source.sums)
    source.check_valid(kernel.shape)
    return kernel


def prepared_blur(source: Source, sigma: Any, truncate: Any, order: Any) -> tuple[Source, Separable, Separable | None]:
    """The source, the kernel, and for derivatives the Gaussian, by which missing pixels are replaced: see `filtered`.

    The taps of derivatives add up to 0, but for rounding: sums cannot be divided by those, and alpha is kept.
    """
    kernel = gaussian_kernel(sigma, truncate, source, order)
    if not np.any(order):
        return source, kernel, None
    if source.options.alpha == "auto":
        source = source._replace(options=source.options._replace(alpha="keep"))
    return source, kernel, gaussian_kernel(sigma, truncate, source)


@takes_missing
def gaussian_blur(
    image: Picture,
    sigma: float | tuple[float, ...],
    *,
    truncate: float = 4.0,
    order: int | tuple[int, ...] = 0,
    **options: Unpack[KeywordsOfMissing],
) -> Picture | Any:
    """Blur a picture with a Gaussian, as `fastconv.kernels.gaussian`, or compute derivatives of the blurred picture.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis: down the columns, and along the rows. Along an axis with a
        sigma of 0 nothing is blurred.
    truncate : float
        The radius at which the Gaussian is cut off, in standard deviations, as in `scipy.ndimage.gaussian_filter`.
    order : int or tuple of int
        The order of the derivative along all axes, or along each, as in `scipy.ndimage.gaussian_filter`. Derivatives
        are signed: see `dtype`.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind.

    Raises
    ------
    ValueError, TypeError
        As `filter` and `fastconv.kernels.gaussian`; and for an `order` that is not an integer from 0 to 16, or not 0
        where `sigma` is 0.

    See Also
    --------
    filter : Convolve with any kernel.
    fastconv.kernels.gaussian : The kernel.

    Examples
    --------
    >>> from PIL import Image
    >>> from fastconv.image import gaussian_blur
    >>> dot = Image.new("L", (9, 9))
    >>> dot.putpixel((4, 4), 255)
    >>> gaussian_blur(dot, sigma=1).getpixel((4, 4))
    41

    A volume of slices that lie twice as far apart as their pixels; and a stack of pictures, that are left apart:

    >>> import numpy as np
    >>> volume = np.zeros((30, 64, 64), np.float32)
    >>> volume[15, 32, 32] = 1
    >>> gaussian_blur(volume, sigma=(1, 2, 2), axes=(0, 1, 2))[15, 32, 30:35].round(4)
    array([0.0096, 0.014 , 0.0159, 0.014 , 0.0096], dtype=float32)
    >>> gaussian_blur(volume, sigma=2, axes=(1, 2))[14:17, 32, 32].round(4)
    array([0.    , 0.0398, 0.    ], dtype=float32)
    """
    checked = Options.of(gaussian_blur, options)
    opened = Source.open(image, checked, axis_count(checked.axes))
    source, kernel, level = prepared_blur(opened, sigma, truncate, order)
    return filtered(source, kernel, level=level)


@takes_missing
def motion_blur(
    image: Picture, length: float = 9.0, angle: float = 0.0, **options: Unpack[KeywordsOfMissing]
) -> Picture | Any:
    """Blur a picture along a straight line: `filter` with `fastconv.kernels.motion`.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    length : float
        Length of the line in pixels.
    angle : float
        Direction of the line, in degrees counterclockwise from the right.
    shared keywords

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind.

    Raises
    ------
    ValueError, TypeError
        As `filter` and `fastconv.kernels.motion`.

    See Also
    --------
    filter : Convolve with any kernel.
    fastconv.kernels.motion : The kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import motion_blur
    >>> motion_blur(np.array([[0, 0, 0, 90, 0, 0, 0]], np.uint8), 3)
    array([[ 0,  0, 30, 30, 30,  0,  0]], dtype=uint8)
    """
    source = Source.open(image, Options.of(motion_blur, options))
    kernel = kernels.motion(length, angle, dtype=np.float64)
    source.check_valid(kernel.shape)
    return filtered(source, kernel)
