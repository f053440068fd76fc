"""Filters for Pillow pictures and for arrays of pixels, integers or floats.

`filter` convolves a picture with any kernel; the other functions are common filters built on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import kernels
from fastconv._model.arguments import as_array, as_finite
from fastconv._model.message_formatting import shown
from fastconv._model.separability import Separable
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv.convolution import Boundary, Nan
from fastconv.image._filter import Alpha, Picture, filter, sums_type
from fastconv.image._pillow_modes import Pixels, saturated
from fastconv.kernels._profiles import gaussian_profiles

__all__ = [
    "difference_of_gaussians",
    "filter",
    "gaussian_blur",
    "sobel_direction",
    "sobel_magnitude",
    "unsharp_mask",
]


def gaussian_blur(
    image: Picture,
    sigma: float | tuple[float, ...],
    *,
    truncate: float = 4.0,
    axes: tuple[int, ...] | None = None,
    boundary: Boundary = "reflect",
    alpha: Alpha = "keep",
    workers: int | None = None,
    out: NDArray | None = None,
    nan: Nan = "propagate",
    weights: ArrayLike | None = None,
    min_weight: float = 0.0,
    return_weight: bool = False,
    missing_value: float | None = None,
) -> Picture | Any:
    """Blur a picture: `filter` with `fastconv.kernels.gaussian`, in the type of the sums.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    sigma : float or tuple of float
        Standard deviation in pixels, or one for each axis: down the columns, and along the rows.
    truncate : float
        The radius at which the Gaussian is cut off, in standard deviations, as in `scipy.ndimage.gaussian_filter`.
    axes : tuple of int, optional
        Two or more axes of an array to blur along, such as (0, 1, 2) for a volume. By default the first two; required
        for more than three dimensions.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `filter` with its default `fill_value`, 0.
    alpha : {'keep', 'filter'}
        How to treat the alpha channel of LA and RGBA, as in `filter`.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.
    out : ndarray, optional
        For arrays: the array to write the result to, of its shape and dtype. It may overlap `image`.
    nan, weights, min_weight, return_weight, missing_value : optional
        What to do about missing pixels, as in `filter`.

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind.

    Raises
    ------
    ValueError, TypeError
        As `filter` and `fastconv.kernels.gaussian`.

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

    A volume of slices that lie twice as far apart as their pixels:

    >>> import numpy as np
    >>> volume = np.zeros((30, 64, 64), np.float32)
    >>> volume[15, 32, 32] = 1
    >>> gaussian_blur(volume, sigma=(1, 2, 2), axes=(0, 1, 2))[15, 32, 30:35].round(4)
    array([0.0096, 0.014 , 0.0159, 0.014 , 0.0096], dtype=float32)
    """
    check_variable_once()
    count = 2 if axes is None else max(2, _length(axes))
    kernel: Any = Separable(gaussian_profiles(sigma, truncate, count), sums_type(image))
    missing: dict[str, Any] = {"nan": nan, "weights": weights, "min_weight": min_weight}
    missing |= {"return_weight": return_weight, "missing_value": missing_value}
    return filter(image, kernel, axes=axes, boundary=boundary, alpha=alpha, workers=workers, out=out, **missing)


def sobel_magnitude(image: Picture, *, boundary: Boundary = "reflect", workers: int | None = None) -> Picture:
    """Compute the magnitude of the gradient by the Sobel kernels: ``hypot(across, down) / 4``.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `filter` with its default `fill_value`, 0.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind; a step from 0 to 255 gives 255. Alpha is kept.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

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
    array, pixels = _opened(image)
    across, down = _slopes(array, boundary, workers)
    with np.errstate(all="ignore"):
        np.hypot(across, down, out=across)
    return _closed(across, array, pixels)


def sobel_direction(image: Any, *, boundary: Boundary = "reflect", workers: int | None = None) -> NDArray[np.floating]:
    """Compute the direction of the gradient by the Sobel kernels: towards increasing brightness.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `filter` with its default `fill_value`, 0.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.

    Returns
    -------
    ndarray of float32 (float64 for pixels of int32 and float64), shape (H, W) or (H, W, C)
        ``arctan2(down, across)`` in radians: 0 to the right, ``pi / 2`` downwards. It is 0 where an integer picture is
        flat, and throughout an alpha channel; where a float picture is flat it is arbitrary, due to rounding errors.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

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
    array, pixels = _opened(image)
    across, down = _slopes(array, boundary, workers)
    with np.errstate(all="ignore"):
        np.arctan2(down, across, out=across)
    if pixels is not None and pixels.has_alpha:
        across[..., -1] = 0
    return across


def unsharp_mask(
    image: Picture,
    sigma: float | tuple[float, float] = 2.0,
    amount: float = 1.0,
    threshold: float = 0,
    *,
    boundary: Boundary = "reflect",
    workers: int | None = None,
) -> Picture:
    """Sharpen a picture by unsharp masking: ``image + amount * (image - blurred)``.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`. Alpha is kept.
    sigma : float or pair of float
        Standard deviation of the Gaussian blur in pixels, or a pair: down the columns, and along the rows.
    amount : float
        The weight of the difference; 1.5 is 150 percent.
    threshold : float
        Differences smaller than this are ignored, so that noise is not amplified.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `filter` with its default `fill_value`, 0.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.

    Returns
    -------
    PIL.Image.Image or ndarray
        A picture or an array of the same kind.

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
    array, pixels = _opened(image)
    result = _floats(array, partial(_gaussian, sigma), boundary, workers)
    most = float(np.finfo(result.dtype).max)
    if abs(amount) > most:
        raise ValueError(f"amount must be a number that {result.dtype} can hold; got {shown(amount)}")
    with np.errstate(all="ignore"):
        np.subtract(array, result, out=result)
        if threshold > 0:
            result[np.abs(result) < min(threshold, most)] = 0
        result *= result.dtype.type(amount)
        result += array
    return _closed(result, array, pixels)


def difference_of_gaussians(
    image: Any,
    low_sigma: float,
    high_sigma: float | None = None,
    *,
    boundary: Boundary = "reflect",
    workers: int | None = None,
) -> NDArray[np.floating]:
    """Subtract a wide Gaussian blur from a narrow one: a band-pass filter for details between the two scales.

    Parameters
    ----------
    image : PIL.Image.Image or array_like
        The picture, as in `filter`.
    low_sigma : float
        Standard deviation of the narrow blur, in pixels.
    high_sigma : float, optional
        Standard deviation of the wide blur. By default ``1.6 * low_sigma``, which is close to a Laplacian of a
        Gaussian [1]_.
    boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
        How the picture continues outside, as in `filter` with its default `fill_value`, 0.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`.

    Returns
    -------
    ndarray of float32 (float64 for pixels of int32 and float64), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 throughout an alpha channel.

    Raises
    ------
    ValueError
        If `high_sigma` is not larger than `low_sigma`; and as `filter` and `fastconv.kernels.gaussian`.
    TypeError
        If one of them is not a number; and as `filter`.

    See Also
    --------
    gaussian_blur : One of the two blurs.
    fastconv.kernels.log : The Laplacian of a Gaussian.

    References
    ----------
    .. [1] D. Marr and E. Hildreth, "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980.

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
    array, pixels = _opened(image)
    result = _floats(array, partial(_gaussian, low_sigma), boundary, workers)
    with np.errstate(all="ignore"):
        result -= _floats(array, partial(_gaussian, high_sigma), boundary, workers)
    if pixels is not None and pixels.has_alpha:
        result[..., -1] = 0
    return result


def _gaussian(sigma: Any, truncate: float = 4.0, *, dtype: np.dtype) -> Separable:
    """Return the factors of `fastconv.kernels.gaussian`."""
    return Separable(gaussian_profiles(sigma, truncate), dtype)


def _length(axes: Any) -> int:
    """The number of axes; 0 where `filter` will tell that they are none."""
    return len(axes) if isinstance(axes, (tuple, list)) or (isinstance(axes, np.ndarray) and axes.ndim) else 0


def _opened(image: Any) -> tuple[NDArray[Any], Pixels | None]:
    """Return the pixels as an array, and the `Pixels` of a Pillow picture."""
    check_variable_once()
    pixels = Pixels.of_any(image)
    return (as_array(image, "image").view() if pixels is None else pixels.array), pixels


def _floats(
    array: NDArray, make: Callable[..., Any], boundary: Boundary, workers: int | None, scale: float = 1
) -> NDArray:
    """Convolve the pixels with a kernel, in the type of their sums."""
    dtype = sums_type(array)
    return filter(array, make(dtype=dtype), boundary=boundary, workers=workers, scale=scale, dtype=dtype)


def _slopes(array: NDArray, boundary: Boundary, workers: int | None) -> tuple[NDArray, NDArray]:
    """Return the Sobel derivatives across and down, divided by 4."""
    across, down = (_floats(array, make, boundary, workers, 4) for make in (kernels.sobel_x, kernels.sobel_y))
    return across, down


def _closed(result: NDArray, array: NDArray, pixels: Pixels | None) -> Any:
    """Return floats as a picture or an array of the kind that was opened."""
    stored = saturated(result, array.dtype)
    if pixels is None:
        return stored
    if pixels.has_alpha:
        stored[..., -1] = array[..., -1]
    return pixels.picture(stored)
