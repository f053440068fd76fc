"""Pictures, in and out: Pillow's or arrays, of 8, 16 or 32 bits or floats, with channels.

`filter` is the convolution, and the others are what people do with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import kernels
from fastconv._model.arguments import as_array, as_finite, shown
from fastconv._model.separability import Separable
from fastconv._runtime.thread_pool import check_variable_once
from fastconv.convolution import Boundary
from fastconv.image._filter import Alpha, Picture, filter, sums_type
from fastconv.image._pillow_modes import Pixels, saturated

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
    sigma: float | tuple[float, float],
    *,
    truncate: float = 4.0,
    boundary: Boundary = "reflect",
    alpha: Alpha = "keep",
    workers: int | None = None,
    out: NDArray | None = None,
) -> Picture:
    """Blur a picture: `filter` with `fastconv.kernels.gaussian`, in the type of the sums.

    Parameters
    ----------
    image
        As in `filter`.
    sigma : float or pair of float
        Standard deviation in pixels, or one down and one across.
    truncate : float
        Where the bell is cut off, in standard deviations, as in `scipy.ndimage.gaussian_filter`.
    boundary, alpha, workers, out
        As in `filter`.

    Returns
    -------
    PIL.Image.Image or ndarray
        As `filter` does.

    Raises
    ------
    ValueError, TypeError
        As `filter` and `fastconv.kernels.gaussian`.

    Examples
    --------
    >>> from PIL import Image
    >>> dot = Image.new("L", (9, 9))
    >>> dot.putpixel((4, 4), 255)
    >>> gaussian_blur(dot, sigma=1).getpixel((4, 4))
    41
    """
    check_variable_once()
    kernel = Separable(*kernels._bells(sigma, truncate), sums_type(image))
    return filter(image, kernel, boundary=boundary, alpha=alpha, workers=workers, out=out)  # type: ignore[arg-type]


def sobel_magnitude(image: Picture, *, boundary: Boundary = "reflect", workers: int | None = None) -> Picture:
    """How steep a picture is: the length of the slope that the Sobel kernels find, ``hypot(across, down) / 4``.

    Parameters
    ----------
    image, boundary, workers
        As in `filter`.

    Returns
    -------
    PIL.Image.Image or ndarray
        Of the same kind; a step from 0 to 255 is 255. Alpha is kept.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

    Examples
    --------
    >>> import numpy as np
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
    """Where a picture becomes brighter: the direction of the slope that the Sobel kernels find.

    Parameters
    ----------
    image, boundary, workers
        As in `filter`.

    Returns
    -------
    ndarray of float32 (float64 for pixels of int32 and float64), shape (H, W) or (H, W, C)
        ``arctan2(down, across)`` in radians: 0 to the right, ``pi / 2`` downwards. It is 0 where a picture of integers
        is flat, and all over an alpha channel; where one of floats is flat it says nothing, for slopes are roundings.

    Raises
    ------
    ValueError, TypeError
        As `filter`.

    Examples
    --------
    >>> import numpy as np
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
    sigma: float = 2.0,
    amount: float = 1.0,
    threshold: float = 0,
    *,
    boundary: Boundary = "reflect",
    workers: int | None = None,
) -> Picture:
    """Sharpen a picture by what a blur takes from it: ``image + amount * (image - blurred)``.

    Parameters
    ----------
    image
        As in `filter`. Alpha is kept.
    sigma : float
        Standard deviation of the blur, in pixels.
    amount : float
        How much of the difference to add; 1.5 is 150 percent.
    threshold : float
        Where the difference is smaller than this, the picture stays as it is, so that noise is not sharpened.
    boundary, workers
        As in `filter`.

    Returns
    -------
    PIL.Image.Image or ndarray
        Of the same kind.

    Raises
    ------
    ValueError
        If `amount` or `threshold` is not finite; and as `filter` and `fastconv.kernels.gaussian`.
    TypeError
        If `amount` or `threshold` is no number; and as `filter`.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.array([[50, 50, 50, 100, 100, 100]], np.uint8)
    >>> unsharp_mask(step, sigma=0.5)
    array([[ 50,  50,  45, 105, 100, 100]], dtype=uint8)
    """
    amount, threshold = as_finite(amount, "amount"), as_finite(threshold, "threshold")
    array, pixels = _opened(image)
    result = _floats(array, partial(kernels.gaussian, sigma), boundary, workers)
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
    """What is larger than one scale and smaller than another: a narrow blur minus a wide one.

    Parameters
    ----------
    image
        As in `filter`.
    low_sigma, high_sigma : float
        Standard deviations of both, in pixels; the second is 1.6 times the first unless told otherwise, which is near
        to a Laplacian of a Gaussian [1]_.
    boundary, workers
        As in `filter`.

    Returns
    -------
    ndarray of float32 (float64 for pixels of int32 and float64), shape (H, W) or (H, W, C)
        Signed, neither rounded nor saturated; 0 all over an alpha channel.

    Raises
    ------
    ValueError
        If `high_sigma` is not larger than `low_sigma`; and as `filter` and `fastconv.kernels.gaussian`.
    TypeError
        If one of them is no number; and as `filter`.

    References
    ----------
    .. [1] D. Marr and E. Hildreth, "Theory of edge detection", Proceedings of the Royal Society of London B 207, 1980.

    Examples
    --------
    >>> import numpy as np
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
    result = _floats(array, partial(kernels.gaussian, low_sigma), boundary, workers)
    with np.errstate(all="ignore"):
        result -= _floats(array, partial(kernels.gaussian, high_sigma), boundary, workers)
    if pixels is not None and pixels.has_alpha:
        result[..., -1] = 0
    return result


def _opened(image: Any) -> tuple[NDArray[Any], Pixels | None]:
    """The pixels, and what else there is to know of a Pillow picture."""
    check_variable_once()
    pixels = Pixels.of_any(image)
    return (as_array(image, "image").view() if pixels is None else pixels.array), pixels


def _floats(
    array: NDArray, make: Callable[..., NDArray], boundary: Boundary, workers: int | None, scale: float = 1
) -> NDArray:
    """The pixels through a kernel, made and filtered in the type of their sums."""
    dtype = sums_type(array)
    return filter(array, make(dtype=dtype), boundary=boundary, workers=workers, scale=scale, dtype=dtype)


def _slopes(array: NDArray, boundary: Boundary, workers: int | None) -> tuple[NDArray, NDArray]:
    makes = kernels.sobel_x, kernels.sobel_y
    across, down = (_floats(array, make, boundary, workers, 4) for make in makes)
    return across, down


def _closed(result: NDArray, array: NDArray, pixels: Pixels | None) -> Any:
    """Floats as a picture, or an array, of the kind that was opened."""
    stored = saturated(result, array.dtype)
    if pixels is None:
        return stored
    if pixels.has_alpha:
        stored[..., -1] = array[..., -1]
    return pixels.picture(stored)
