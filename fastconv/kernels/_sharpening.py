"""Sharpening and emboss kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.arguments import as_finite, as_float
from fastconv._model.message_formatting import shown
from fastconv.kernels._profiles import gaussian_profiles, not_negative
from fastconv.kernels._smoothing import binomial


def sharpen(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The picture minus its Laplacian: amplifies edges and keeps flat areas.

    The Laplacian is `laplacian`. The taps sum to 1.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    unsharp : Sharpen details of any size.
    fastconv.image.unsharp_mask : With a threshold.

    References
    ----------
    Gonzalez and Woods, as for `edge`.

    Examples
    --------
    >>> from fastconv.kernels import sharpen
    >>> sharpen()
    array([[ 0., -1.,  0.],
           [-1.,  5., -1.],
           [ 0., -1.,  0.]], dtype=float32)
    """
    return np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], as_float(dtype))


def identity(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The picture itself: one tap in the centre.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    sharpen : The identity minus the Laplacian.

    Examples
    --------
    >>> from fastconv.kernels import identity
    >>> identity()
    array([[0., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    return np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], as_float(dtype))


def unsharp(
    sigma: float | tuple[float, float] = 1.0,
    amount: float = 1.0,
    truncate: float = 4.0,
    *,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """Unsharp masking: the picture plus its difference from a Gaussian blur.

    The kernel is ``identity + amount * (identity - gaussian(sigma, truncate))`` [1]_. The taps sum to 1.

    Parameters
    ----------
    sigma : float or pair of float
        As for `gaussian`.
    amount : float
        The weight of the difference. Below 0 the kernel blurs; -1 is the Gaussian itself.
    truncate : float
        As for `gaussian`.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape as of `gaussian`
        Computed in float64 and rounded once.

    Raises
    ------
    ValueError
        As `gaussian`; if `amount` is not finite.
    TypeError
        As `gaussian`; if `amount` is not a number.

    See Also
    --------
    sharpen : A small kernel.
    fastconv.image.unsharp_mask : With a threshold.

    References
    ----------
    .. [1] Gonzalez and Woods, as for `edge`.

    Examples
    --------
    >>> from fastconv.kernels import unsharp
    >>> unsharp(sigma=0.5, amount=2, truncate=2).round(3)
    array([[-0.023, -0.168, -0.023],
           [-0.168,  1.761, -0.168],
           [-0.023, -0.168, -0.023]], dtype=float32)
    """
    floats = as_float(dtype)
    profiles = gaussian_profiles(sigma, truncate, check=not_negative)
    amount = as_finite(amount, "amount")
    if abs(amount) > float(np.finfo(floats).max):
        raise ValueError(f"amount must be a number that leaves taps finite in {floats}; got {shown(amount)}")
    with np.errstate(all="ignore"):
        kernel = -amount * np.outer(*profiles)
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] += 1 + amount
        return kernel.astype(floats, copy=False)


def unsharp_5x5(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Unsharp masking of 5 x 5 taps: twice the picture minus a binomial blur.

    The kernel is ``2 * identity - binomial(5)``. The taps sum to 1.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (5, 5)
        The taps are exact.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    unsharp : Of any size.

    Examples
    --------
    >>> from fastconv.kernels import unsharp_5x5
    >>> 256 * unsharp_5x5()
    array([[ -1.,  -4.,  -6.,  -4.,  -1.],
           [ -4., -16., -24., -16.,  -4.],
           [ -6., -24., 476., -24.,  -6.],
           [ -4., -16., -24., -16.,  -4.],
           [ -1.,  -4.,  -6.,  -4.,  -1.]], dtype=float32)
    """
    taps = -binomial(5, dtype=dtype)
    taps[2, 2] += 2
    return taps


def emboss(*, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """The picture plus its derivative towards the lower right: a relief, lit from the upper left.

    The taps sum to 1, so flat areas keep their brightness.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    ndarray of `dtype`, shape (3, 3)
        The taps.

    Raises
    ------
    ValueError
        If `dtype` is neither of the two.
    TypeError
        If it is no dtype at all.

    See Also
    --------
    sobel_x : The derivative alone.

    Notes
    -----
    The GIMP manual ("Convolution Matrix") gives the template -2 -1 0; -1 1 1; 0 1 2; this is the same, rotated by
    180 degrees.

    Examples
    --------
    >>> from fastconv.kernels import emboss
    >>> emboss()
    array([[ 2.,  1.,  0.],
           [ 1.,  1., -1.],
           [ 0., -1., -2.]], dtype=float32)
    """
    return np.array([[2, 1, 0], [1, 1, -1], [0, -1, -2]], as_float(dtype))
