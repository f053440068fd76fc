"""Banks of kernels: many convolutions of one image in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._model.arguments import as_array, as_axes, as_choices, as_dtype, as_workers
from fastconv._model.checks import as_out, fits_into_memory, overlaps_itself
from fastconv._model.message_formatting import clipped
from fastconv._planning.layers import bank_plans
from fastconv._planning.plans import find
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import converted, copy
from fastconv._runtime.memory_maps import may_share_memory
from fastconv.convolution import Boundary, Mode

__all__ = ["convolve_bank", "correlate_bank"]


def convolve_bank(
    image: ArrayLike,
    kernels: ArrayLike,
    mode: Mode = "same",
    *,
    axes: tuple[int, int] = (-2, -1),
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    dtype: DTypeLike | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Convolve an image with each kernel of a bank, in one pass where that is faster.

    The result is that of `convolve2d` for each kernel, stacked along a new axis before the two of the image::

        out[..., k, :, :] = convolve2d(image, kernels[k], mode, boundary=boundary)

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        An image, or a batch of them. All axes but `axes` are a batch.
    kernels : array_like, shape (K, M, N)
        The bank: `K` kernels of one size. Smaller ones can be padded with zeros, by as much on either side.
    mode : {'same', 'full', 'valid'}
        Which outputs to compute, as in `convolve2d`.
    axes : pair of int
        The two axes to convolve along; that of the kernels is inserted before the first of them. Channels last,
        ``(H, W, C)`` with ``axes=(0, 1)``, gives ``(K, H', W', C)``.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        How the image continues outside, as in `convolve1d`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    dtype : dtype, optional
        The type in which to compute, and of the result: image and kernels are converted to it. By default
        ``numpy.result_type(image, kernels)``: float32 for pixels of 8 bits and float32 kernels.
    workers : int, optional
        The maximum number of threads, as in `convolve1d`.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `image` and `kernels`.

    Returns
    -------
    ndarray, shape (..., K, H', W')
        `out`, or a new C-contiguous array.

    Raises
    ------
    ValueError
        For empty input, kernels that are not 3-D, an unknown mode or boundary, axes out of range, a `fill_value` that
        the result cannot hold or that `boundary` does not use, and an `out` that does not fit.
    TypeError
        For input that is not numeric, a `dtype` that NumPy's casting 'same_kind' does not allow for these inputs, and
        options of the wrong type.

    See Also
    --------
    correlate_bank : The same without the flip.
    fastconv.layers.conv2d : Banks of kernels over many channels, which it sums over, with strides.

    Notes
    -----
    Integers are exact and wrap as in `convolve2d`; a wider `dtype` keeps sums from wrapping. Floats differ from those
    of `convolve2d` by rounding only: both have errors within its bounds.

    A bank is computed as a layer of one channel, whose kernels share the loads of samples; or, where that is estimated
    to be faster, one kernel after the other: very few, large ones (by spectra), outer products (in two passes), narrow
    integers, and complex numbers.

    Examples
    --------
    Energies of a picture along four directions, by Gabor filters:

    >>> import numpy as np
    >>> import fastconv
    >>> stripes = np.tile(np.array([0, 255, 255, 0], np.uint8), (64, 16))
    >>> bank = np.stack([fastconv.kernels.gabor(4, angle, aspect=1, truncate=2) for angle in (0, 45, 90, 135)])
    >>> bank.shape, bank.dtype
    ((4, 9, 9), dtype('float32'))
    >>> responses = fastconv.convolve_bank(stripes, bank, boundary="wrap")
    >>> responses.shape, responses.dtype
    ((4, 64, 64), dtype('float32'))
    >>> int(np.square(responses).mean(axis=(1, 2)).argmax())
    0

    Integers without wrapping:

    >>> fastconv.convolve_bank(np.full((2, 2), 200, np.uint8), np.ones((1, 3, 3), np.uint8), dtype=np.int32)
    array([[[800, 800],
            [800, 800]]], dtype=int32)
    """
    return _apply(image, kernels, mode, axes, boundary, fill_value, dtype, workers, out, True)


def correlate_bank(
    image: ArrayLike,
    kernels: ArrayLike,
    mode: Mode = "same",
    *,
    axes: tuple[int, int] = (-2, -1),
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    dtype: DTypeLike | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Correlate an image with each kernel of a bank, in one pass where that is faster.

    The result is that of `correlate2d` for each kernel, stacked along a new axis before the two of the image: kernels
    are not flipped, and complex ones are conjugated. `cv2.filter2D`, with these kernels, and layers correlate.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        An image, or a batch of them.
    kernels : array_like, shape (K, M, N)
        The bank: `K` kernels of one size.
    mode, axes, boundary, fill_value, dtype, workers, out : optional
        As in `convolve_bank`.

    Returns
    -------
    ndarray, shape (..., K, H', W')
        `out`, or a new C-contiguous array.

    Raises
    ------
    ValueError, TypeError
        As `convolve_bank`.

    See Also
    --------
    convolve_bank : The same, with flipped kernels.
    fastconv.layers.conv2d : Sums over channels as well.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate_bank([[1, 2, 4]], [[[0, 0, 1]], [[-1, 0, 1]]])
    array([[[ 2,  4,  0]],
    <BLANKLINE>
           [[ 2,  3, -2]]])
    """
    return _apply(image, kernels, mode, axes, boundary, fill_value, dtype, workers, out, False)


def _apply(image, kernels, mode, axes, boundary, fill_value, dtype, workers, out, flip: bool) -> NDArray:
    x, bank = as_array(image, "image").view(), as_array(kernels, "kernels").view()
    _pins = pinned(x, bank)
    _check(x, bank)
    axes = as_axes(axes, 2, x.ndim, "axes")
    workers = as_workers(workers)
    mode, boundary, _ = as_choices(mode, boundary, "auto", 1)
    if dtype is not None:
        x, bank = _converted(x, bank, as_dtype(dtype))
    plan = find("image", x.dtype, x.shape, bank.dtype, bank.shape[1:], mode, axes, boundary, fill_value, "auto", flip)
    place = min(axes)
    shape = (*plan.shape[:place], bank.shape[0], *plan.shape[place:])
    if not fits_into_memory(shape, plan.dtype):
        raise ValueError(f"image and kernels must have a result that fits into memory; theirs has shape {shape}")
    given = None
    if out is not None:
        given = as_out(out, shape, plan.dtype)
        _out_pins = pinned(given)
        if not (may_share_memory(given, x) or may_share_memory(given, bank) or overlaps_itself(given)):
            bank_plans.fill(plan, x, bank, given, axes, mode, boundary, flip, workers)
            return out
    result = np.empty(shape, plan.dtype)
    bank_plans.fill(plan, x, bank, result, axes, mode, boundary, flip, workers)
    if given is None:
        return result
    copy(given, result)
    return out


def _check(x: NDArray, bank: NDArray) -> None:
    """Check that both hold numbers and have enough axes."""
    for array, name in ((x, "image"), (bank, "kernels")):
        if array.dtype.kind not in "biufcO":
            raise TypeError(f"{name} must hold numbers; got dtype {clipped(array.dtype)}")
        if array.size == 0:
            raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    if bank.ndim != 3:
        raise ValueError(f"kernels must have shape (K, M, N), kernels of one size; got {bank.shape}")
    if x.ndim < 2:
        raise ValueError(f"image must have at least 2 dimensions; got shape {x.shape}")
    if not fits_into_memory(bank.shape, bank.dtype):
        raise ValueError(f"kernels must be of a size that fits into memory; got shape {bank.shape}")


def _converted(x: NDArray, bank: NDArray, dtype: np.dtype) -> tuple[NDArray, NDArray]:
    """Convert what is needed for a result of this type."""
    if dtype.kind not in "biufc" or not np.can_cast(np.result_type(x, bank), dtype, "same_kind"):
        raise TypeError(
            f"dtype must be a type of numbers to which {np.result_type(x, bank)}, that of image and kernels together, "
            f"can be cast by 'same_kind'; got {clipped(dtype)}"
        )
    dtype = dtype.newbyteorder("=")
    bank = converted(bank, dtype)
    return (x if np.result_type(x, dtype) == dtype else converted(x, dtype)), bank
