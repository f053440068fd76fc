"""The public functions: bring the arguments into order, find the plan, run it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_array, as_axes, as_workers
from fastconv._model.checks import as_dimensions, as_out, overlaps_itself
from fastconv._planning.plans import find
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.chunks import copy

__all__ = ["convolve", "convolve1d", "convolve2d", "correlate", "correlate1d", "correlate2d"]

_LAST_TWO = (-2, -1)

Mode = Literal["full", "same", "valid"]
Boundary = Literal["zero", "fill", "nearest", "reflect", "mirror", "wrap"]
Method = Literal["auto", "direct", "separable", "fft"]


def convolve1d(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axis: int = -1,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Convolve along one axis: flip the kernel, shift it along, multiply, sum.

    With ``N`` samples along `axis` and ``M`` taps::

        out[o] = sum over j of kernel[j] * x[o + start - j]

    Parameters
    ----------
    x : array_like, shape (..., N, ...)
        The signal. All axes but `axis` are a batch.
    kernel : array_like, shape (M,)
        The taps.
    mode : {'full', 'same', 'valid'}
        Which outputs there are.

        =========  ================  ==================
        mode       length            start
        =========  ================  ==================
        full       N + M - 1         0
        same       N                 (M - 1) // 2
        valid      abs(N - M) + 1    min(N, M) - 1
        =========  ================  ==================

        These are SciPy's; `same` always has the length of `x`. `valid` never looks outside.
    axis : int
        The axis to convolve along.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        What is outside of `x`, in the names of `scipy.ndimage`: ``a b c d`` goes on to the right as nothing,
        `fill_value`, ``d d d``, ``d c b``, ``c b a``, or ``a b c``. A kernel may be longer than the signal.
    fill_value : scalar
        The value outside for ``boundary='fill'``. The type of the result must be able to hold it.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable' convolves along the rows and then along the
        columns, for 2-D kernels that are an outer product. 'fft' multiplies spectra, for floating results. 'auto' takes
        what is estimated to be the fastest; `fastconv.plan` tells which that is, and prepares it for many calls.
    workers : int, optional
        The most threads to use, within the limits of the process: its CPU affinity, its container's quota and the
        environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; where that variable is not
        set, also ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS``. The result is the same to the last
        bit for every number, on one kind of processor; between processors floats may differ by rounding.
    out : ndarray, optional
        Where to put the result. It must have its shape and type, and may overlap `x` and `kernel`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array, of type ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        For an empty input, a kernel that is not 1-D, an unknown mode, boundary or method, an axis that is not there,
        a fill value that the result cannot hold or that `boundary` has no use for, and an `out` that does not fit; and
        for a ``FASTCONV_NUM_THREADS`` that is no positive integer.
    TypeError
        For inputs that are not numbers, and options of the wrong type.

    See Also
    --------
    correlate1d : the same without the flip.
    convolve2d : in two dimensions.

    Notes
    -----
    Integers wrap, exactly as in NumPy (modulo 2 to the power of their bits); bools are the "or" of "ands". Sums of
    floats are accumulated in the type of the result, float32 in float32, with an error of at most about
    ``M * eps * sum |kernel| |x|`` [1]_ by the method 'direct'. That of 'fft' is relative to the largest values around
    and not to those under the kernel: small values beside large ones lose digits, and zeros come out as roundings of
    zero. Where that matters ask for 'direct'. float16 is computed in float32 and rounded once. longdouble and Python
    objects (`fractions.Fraction`, say) are computed by NumPy, tap by tap: right, and slow.

    A real kernel and a complex signal, or the other way round, are multiplied by parts: an infinity in one part does
    not make a NaN of the other.

    With ``boundary='zero'`` the sum leaves out what is outside. That differs from adding zeros only if the kernel
    has an infinity or a NaN, whose product with zero would be a NaN.

    References
    ----------
    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve1d([1, 2, 3], [0, 1, 10])
    array([ 0,  1, 12, 23, 30])

    A kernel whose weight is not in its middle shifts the signal:

    >>> f = [0, 0, 0, 3, 4, 5, 4, 3, 0, 0]
    >>> fastconv.convolve1d(f, [0, 0, 1], mode="same")
    array([0, 0, 0, 0, 3, 4, 5, 4, 3, 0])

    Each column of a matrix, with its edges repeated:

    >>> fastconv.convolve1d([[1, 5], [2, 6], [3, 7]], [1, 10, 100], "same", axis=0, boundary="nearest")
    array([[112, 556],
           [123, 567],
           [233, 677]])
    """
    return _filter(x, kernel, 1, "x", mode, (axis,), boundary, fill_value, method, workers, out, True)


def correlate1d(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axis: int = -1,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Correlate along one axis: as `convolve1d`, with the kernel conjugated and not flipped.

    It is ``convolve1d(x, numpy.conj(kernel)[::-1], ...)``: the same parameters, lengths, starts and errors. Both
    `numpy.correlate` and `scipy.signal.correlate` give the same in mode 'full'; in 'same' and 'valid', SciPy's sizes
    hold.

    Examples
    --------
    Not flipped, the kernel shifts the other way than in a convolution:

    >>> import fastconv
    >>> f = [0, 0, 0, 3, 4, 5, 4, 3, 0, 0]
    >>> fastconv.correlate1d(f, [1, 0, 0], mode="same")
    array([0, 0, 0, 0, 3, 4, 5, 4, 3, 0])
    >>> fastconv.convolve1d(f, [1, 0, 0], mode="same")
    array([0, 0, 3, 4, 5, 4, 3, 0, 0, 0])
    """
    return _filter(x, kernel, 1, "x", mode, (axis,), boundary, fill_value, method, workers, out, False)


def convolve2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axes: tuple[int, int] = _LAST_TWO,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Convolve along two axes: flip the kernel, shift it over the image, multiply, sum.

    With an image of ``H x W`` and a kernel of ``K x L`` along `axes`::

        out[p, q] = sum over i, j of kernel[i, j] * image[p + top - i, q + left - j]

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        The image. All axes but `axes` are a batch: a picture with channels last, ``(H, W, C)``, is ``axes=(0, 1)``.
    kernel : array_like, shape (K, L)
        The taps; ``kernel.shape[0]`` goes along ``axes[0]``.
    mode : {'full', 'same', 'valid'}
        As in `convolve1d`, for each axis: ``H + K - 1``, ``H`` or ``abs(H - K) + 1`` rows. In mode 'valid' one of
        image and kernel must be at least as large as the other along both axes.
    axes : pair of int
        The axes to convolve along, rows first.
    boundary, fill_value, method, workers, out
        As in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array, of type ``numpy.result_type(image, kernel)``.

    Raises
    ------
    ValueError, TypeError
        As `convolve1d`, and for a mode 'valid' in which neither contains the other.

    See Also
    --------
    correlate2d : the same without the flip.

    Notes
    -----
    As in `convolve1d`, with ``K * L`` taps.

    Examples
    --------
    >>> import fastconv
    >>> f = [[0, 3, 6, 3], [3, 6, 3, 6], [6, 3, 6, 3], [3, 6, 3, 0]]
    >>> box = [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    >>> fastconv.convolve2d(f, box, "valid")
    array([[36, 39],
           [39, 36]])
    >>> fastconv.convolve2d(f, box, "full").shape
    (6, 6)

    The edges of a picture with three channels:

    >>> import numpy as np
    >>> picture = np.ones((48, 64, 3), np.float32)
    >>> edge = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
    >>> edges = fastconv.convolve2d(picture, edge, "same", axes=(0, 1), boundary="reflect")
    >>> edges.shape, edges.dtype, float(abs(edges).max())
    ((48, 64, 3), dtype('float32'), 0.0)
    """
    return _filter(image, kernel, 2, "image", mode, axes, boundary, fill_value, method, workers, out, True)


def correlate2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axes: tuple[int, int] = _LAST_TWO,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Correlate along two axes: as `convolve2d`, with the kernel conjugated and not flipped.

    It is ``convolve2d(image, numpy.conj(kernel)[::-1, ::-1], ...)``: the same parameters, sizes, starts and errors.
    That is what a convolutional layer computes, and what `cv2.filter2D` and `scipy.ndimage.correlate` compute for
    kernels of odd size. For even sizes, `scipy.signal.correlate2d` starts one row and column later in mode 'same'.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate2d([[1, 2], [3, 4]], [[1, 10]], "valid")
    array([[21],
           [43]])
    """
    return _filter(image, kernel, 2, "image", mode, axes, boundary, fill_value, method, workers, out, False)


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Convolve two signals or two images, as `scipy.signal.convolve` does.

    Parameters
    ----------
    x, kernel : array_like
        Both 1-D, both 2-D, or both scalars.
    mode, boundary, fill_value, method, workers, out
        As in `convolve1d` and `convolve2d`.

    Returns
    -------
    ndarray
        Of as many dimensions as the inputs, and of type ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        If `x` and `kernel` differ in their number of dimensions, or have more than two; and as `convolve2d`.
    TypeError
        As `convolve1d`.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    >>> fastconv.convolve([[1, 2]], [[1], [10]])
    array([[ 1,  2],
           [10, 20]])
    """
    return _convolve(x, kernel, mode, boundary, fill_value, method, workers, out, True)


def correlate(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Correlate two signals or two images, as `scipy.signal.correlate` does: `convolve` without the flip.

    The kernel is conjugated. Parameters, results and errors are those of `convolve`.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate([1, 2], [1j, 2j, 3j])
    array([0.-3.j, 0.-8.j, 0.-5.j, 0.-2.j])
    """
    return _convolve(x, kernel, mode, boundary, fill_value, method, workers, out, False)


def _convolve(x, kernel, mode, boundary, fill_value, method, workers, out, flip):
    if type(x) is not np.ndarray:
        x = as_array(x, "x")
    if type(kernel) is not np.ndarray:
        kernel = as_array(kernel, "kernel")
    if x.ndim != kernel.ndim:
        raise ValueError(f"x and kernel must have as many dimensions; got shapes {x.shape} and {kernel.shape}")
    if x.ndim > 2:
        raise ValueError(
            f"x and kernel must be 1-D or 2-D; got shape {x.shape} (a batch of images goes to convolve2d with axes=)"
        )
    if x.ndim > 0:
        axes = (0,) if x.ndim == 1 else (0, 1)
        return _filter(x, kernel, x.ndim, "x", mode, axes, boundary, fill_value, method, workers, out, flip)
    result = _filter(x, kernel, 1, "x", mode, (0,), boundary, fill_value, method, workers, None, flip).reshape(())
    if out is None:
        return result
    as_out(out, (), result.dtype)[...] = result
    return out


def _filter(x, kernel, dimensions, name, mode, axes, boundary, fill_value, method, workers, out, flip):
    """Convolve along one axis or two; errors call `x` by this `name`."""
    if type(x) is not np.ndarray:
        x = as_array(x, name)
    if type(kernel) is not np.ndarray:
        kernel = as_array(kernel, "kernel")
    x, kernel = x.view(), kernel.view()
    if type(fill_value) is not int:
        _pins = pinned(x, kernel)  # it may be an object whose methods do anything to them
    if kernel.ndim != dimensions or x.ndim < dimensions:
        x, kernel = as_dimensions(x, kernel, dimensions, name)
    if axes is not _LAST_TWO and (dimensions == 2 or type(axes[0]) is not int):
        axes = as_axes(axes, dimensions, x.ndim, "axis" if dimensions == 1 else "axes")
    if workers is not None:
        workers = as_workers(workers)
    prepared = find(name, x.dtype, x.shape, kernel, mode, axes, boundary, fill_value, method, flip)
    if out is not None:
        given = as_out(out, prepared.shape, prepared.dtype)
        if not (np.may_share_memory(given, x) or np.may_share_memory(given, kernel) or overlaps_itself(given)):
            prepared(x, kernel, given, workers)
            return out
    result = np.empty(prepared.shape, prepared.dtype)
    prepared(x, kernel, result, workers)
    if out is None:
        return result
    copy(given, result)
    return out
