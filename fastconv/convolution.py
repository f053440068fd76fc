"""The public convolutions and correlations, with all that users read of them; `_calls` computes them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._calls import ANY_SHARE, LAST_TWO, PROPAGATE, convolved, convolved_along, rare_options
from fastconv._model.arguments import as_choice, as_length
from fastconv._model.geometry import MODES, reach
from fastconv._model.steps import as_steps
from fastconv._planning.sweeps import as_sweep
from fastconv._runtime.progress_reports import Progress

__all__ = [
    "convolve",
    "convolve1d",
    "convolve2d",
    "convolve3d",
    "correlate",
    "correlate1d",
    "correlate2d",
    "correlate3d",
    "correlation_lags",
]

_LAST_THREE = (-3, -2, -1)

Mode = Literal["full", "same", "valid"]
Boundary = Literal["zero", "fill", "nearest", "reflect", "mirror", "wrap"]
Method = Literal["auto", "direct", "separable", "fft"]
Start = int | Literal["first", "center", "last"] | None
Nan = Literal["propagate", "ignore"]


def convolve1d(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axis: int = -1,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    stride: int = 1,
    dilation: int = 1,
    start: Start = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
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
        Which outputs to compute; sizes and starts are SciPy's.

        =========  ================  ==================
        mode       length            start
        =========  ================  ==================
        full       N + M - 1         0
        same       N                 (M - 1) // 2
        valid      abs(N - M) + 1    min(N, M) - 1
        =========  ================  ==================

        'same' always has the length of `x`; 'valid' uses no samples outside of `x`.
    axis : int
        The axis to convolve along.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        How `x` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `x`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride : int
        Compute only every `stride`-th result, the first one included; what is skipped takes no time.
    dilation : int
        The distance of adjacent taps in samples. In the gaps nothing is multiplied. A dilated kernel spans
        ``M' = (M - 1) * dilation + 1`` samples, which stands for ``M`` in the table.
    start : int or {'first', 'center', 'last'}, optional
        Index of the first result in the full one, for the modes 'full' and 'same': an integer, or ``0``,
        ``(M' - 1) // 2`` or ``M' - 1``. By default that of the table. `docs/convolution.md` lists the alignments of
        other libraries.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `x` and `kernel`.
    progress : callable, optional
        Called in this thread as ``progress(done, total)`` while the work goes on: an estimate of how much is done, at
        first 0, at last `total`. What it raises stops the work within 0.2 seconds, and is raised.
    nan : {'propagate', 'ignore'}
        With 'ignore' a NaN is a missing sample, of weight 0.
    weights : array_like, optional
        The weight of each sample, 0 .. 1, in an array that broadcasts to `x`, or bools. A sample of weight 0 is
        missing, whatever it is. A masked array as `x` has weight 0 where it is masked.
    min_weight : float
        The share of the sum of absolute taps that must be known: where it is at most that, the result is
        `missing_value`.
    return_weight : bool
        Return the known share of each result too.
    normalize : bool
        Where samples may be missing, divide by the sum of the taps over the known ones, and multiply by that of all.
        With False, sums are divided by the known share, as kernels need whose taps add up to 0.
    missing_value : scalar, optional
        The result where too little is known, by default NaN.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 1-D, an unknown mode, boundary or method, an axis out of range, a
        `fill_value` that the result cannot hold or that `boundary` does not use, a stride or dilation below 1, a
        `start` outside of the full result or with mode 'valid', and an `out` that does not fit; and for a
        ``FASTCONV_NUM_THREADS`` that is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    correlate1d : The same without the flip.
    convolve2d : Along two axes.
    fastconv.plan : One kernel for many arrays.

    Notes
    -----
    Integers wrap exactly as in NumPy, modulo 2 to the power of their bits, by every method; bools are combined by "and"
    and "or".

    Floats are accumulated in the type of the result, float32 in float32. By the method 'direct' the error is at most
    about ``M * eps * sum |kernel| |x|`` [1]_. That of 'fft' is about an eps of the product of the 2-norms of the kernel
    and of the samples under it. If these are much smaller than others nearby it is larger, but at most 1e-3 (float32)
    or 2.3e-10 (float64) of that product; along one axis, if kernel and line have one sign, at most that part of the
    result. float16 is computed in float32 and rounded once. longdouble and Python objects (such as
    `fractions.Fraction`) are computed by NumPy tap by tap, which is slow.

    Results are bit-identical for any number of workers on one kind of processor; between kinds of processor floats may
    differ by rounding.

    A real kernel and a complex signal, or the reverse, are multiplied by parts: an infinity in one part does not make
    the other NaN.

    With ``boundary='zero'`` samples outside are left out of the sum. That differs from adding zeros only if the kernel
    contains an infinity or a NaN, whose product with zero would be NaN.

    References
    ----------
    .. [1] Higham, N. J., Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve1d([1, 2, 3], [0, 1, 10])
    array([ 0,  1, 12, 23, 30])

    An off-centre kernel shifts the signal:

    >>> f = [0, 0, 0, 3, 4, 5, 4, 3, 0, 0]
    >>> fastconv.convolve1d(f, [0, 0, 1], mode="same")
    array([0, 0, 0, 0, 3, 4, 5, 4, 3, 0])

    Along the columns of a matrix, with its edge samples repeated:

    >>> fastconv.convolve1d([[1, 5], [2, 6], [3, 7]], [1, 10, 100], "same", axis=0, boundary="nearest")
    array([[112, 556],
           [123, 567],
           [233, 677]])
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(x, kernel, 1, "x", mode, (axis,), boundary, fill_value, method, check, workers, out, True, rare)


def correlate1d(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode = "full",
    *,
    axis: int = -1,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    stride: int = 1,
    dilation: int = 1,
    start: Start = None,
    lags: tuple[int, int] | None = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Correlate along one axis: conjugate the kernel, shift it along, multiply, sum.

    It equals ``convolve1d(x, numpy.conj(kernel)[::-1], ...)``: with ``N`` samples along `axis` and ``M`` taps::

        out[o] = sum over j of conj(kernel[M - 1 - j]) * x[o + start - j]

    Parameters
    ----------
    x : array_like, shape (..., N, ...)
        The signal. All axes but `axis` are a batch.
    kernel : array_like, shape (M,)
        The taps.
    mode : {'full', 'same', 'valid'}
        Which outputs to compute; sizes and starts are SciPy's.

        =========  ================  ==================
        mode       length            start
        =========  ================  ==================
        full       N + M - 1         0
        same       N                 (M - 1) // 2
        valid      abs(N - M) + 1    min(N, M) - 1
        =========  ================  ==================

        'same' always has the length of `x`; 'valid' uses no samples outside of `x`.
    axis : int
        The axis to correlate along.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        How `x` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `x`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride : int
        Compute only every `stride`-th result, the first one included; what is skipped takes no time.
    dilation : int
        The distance of adjacent taps in samples. In the gaps nothing is multiplied. A dilated kernel spans
        ``M' = (M - 1) * dilation + 1`` samples, which stands for ``M`` in the table.
    start : int or {'first', 'center', 'last'}, optional
        Index of the first result in the full one, for the modes 'full' and 'same': an integer, or ``0``,
        ``(M' - 1) // 2`` or ``M' - 1``. By default that of the table. `docs/convolution.md` lists the alignments of
        other libraries.
    lags : tuple of int, optional
        The first and the last lag to compute, both included. A lag is how far the kernel is shifted to the right: lag 0
        has its first tap on the first sample, and is number ``M' - 1`` of the full result. So ``lags=(lo, hi)`` returns
        ``full[lo + M' - 1 : hi + M']``, and computes no more. For mode 'full', without a `start`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `x` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 1-D, an unknown mode, boundary or method, an axis out of range, a
        `fill_value` that the result cannot hold or that `boundary` does not use, a stride or dilation below 1, a
        `start` outside of the full result or with mode 'valid', `lags` outside of it or with another mode or a `start`,
        and an `out` that does not fit; and for a ``FASTCONV_NUM_THREADS`` that is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    convolve1d : The same with the flip; its Notes on types and accuracy apply.
    correlate2d : Along two axes.

    Notes
    -----
    `numpy.correlate` and `scipy.signal.correlate` give the same in mode 'full'; in 'same' and 'valid', sizes are
    SciPy's.

    Examples
    --------
    The kernel is not flipped, so it shifts in the opposite direction:

    >>> import fastconv
    >>> f = [0, 0, 0, 3, 4, 5, 4, 3, 0, 0]
    >>> fastconv.correlate1d(f, [1, 0, 0], mode="same")
    array([0, 0, 0, 0, 3, 4, 5, 4, 3, 0])
    >>> fastconv.convolve1d(f, [1, 0, 0], mode="same")
    array([0, 0, 3, 4, 5, 4, 3, 0, 0, 0])
    """
    rare = rare_options(
        stride, dilation, start, lags, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(x, kernel, 1, "x", mode, (axis,), boundary, fill_value, method, check, workers, out, False, rare)


def convolve2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: tuple[int, int] = LAST_TWO,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Convolve along two axes: flip the kernel, shift it over the image, multiply, sum.

    With an image of ``H x W`` and a kernel of ``K x L`` along `axes`::

        out[p, q] = sum over i, j of kernel[i, j] * image[p + top - i, q + left - j]

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        The image. All axes but `axes` are a batch: for channels last, ``(H, W, C)``, pass ``axes=(0, 1)``.
    kernel : array_like, shape (K, L)
        The taps; ``kernel.shape[0]`` lies along ``axes[0]``.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute, along each axis as in `convolve1d`: ``H + K - 1``, ``H`` or ``abs(H - K) + 1`` rows.
        In mode 'valid' one of image and kernel must be at least as large as the other along both axes.
    axes : pair of int
        The axes to convolve along, rows first.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `image` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `image`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `image` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(image, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 2-D, mode 'valid' if neither of image and kernel contains the other, an
        unknown mode, boundary or method, axes that are equal or out of range, a `fill_value` that the result cannot
        hold or that `boundary` does not use, a stride or dilation below 1, a `start` outside of the full result or with
        mode 'valid', tuples of another length, and an `out` that does not fit; and for a ``FASTCONV_NUM_THREADS`` that
        is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    correlate2d : The same without the flip.
    convolve1d : Along one axis; its Notes on types and accuracy apply, with ``K * L`` taps.
    fastconv.image.filter : Pictures in, pictures out, rounded and saturated.

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
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(
        image, kernel, 2, "image", mode, axes, boundary, fill_value, method, check, workers, out, True, rare
    )


def correlate2d(
    image: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: tuple[int, int] = LAST_TWO,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Correlate along two axes: conjugate the kernel, shift it over the image, multiply, sum.

    It equals ``convolve2d(image, numpy.conj(kernel)[::-1, ::-1], ...)``.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        The image. All axes but `axes` are a batch: for channels last, ``(H, W, C)``, pass ``axes=(0, 1)``.
    kernel : array_like, shape (K, L)
        The taps; ``kernel.shape[0]`` lies along ``axes[0]``.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute, along each axis as in `convolve1d`: ``H + K - 1``, ``H`` or ``abs(H - K) + 1`` rows.
        In mode 'valid' one of image and kernel must be at least as large as the other along both axes.
    axes : pair of int
        The axes to correlate along, rows first.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `image` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `image`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `image` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(image, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 2-D, mode 'valid' if neither of image and kernel contains the other, an
        unknown mode, boundary or method, axes that are equal or out of range, a `fill_value` that the result cannot
        hold or that `boundary` does not use, a stride or dilation below 1, a `start` outside of the full result or with
        mode 'valid', tuples of another length, and an `out` that does not fit; and for a ``FASTCONV_NUM_THREADS`` that
        is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    convolve2d : The same with the flip.
    correlate1d : Along one axis.

    Notes
    -----
    A convolutional layer computes this, and so do `cv2.filter2D` and `scipy.ndimage.correlate` for kernels of odd size.
    For even sizes, `scipy.signal.correlate2d` starts one row and one column later in mode 'same'.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate2d([[1, 2], [3, 4]], [[1, 10]], "valid")
    array([[21],
           [43]])
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(
        image, kernel, 2, "image", mode, axes, boundary, fill_value, method, check, workers, out, False, rare
    )


def convolve3d(
    volume: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: tuple[int, int, int] = _LAST_THREE,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Convolve along three axes: flip the kernel, shift it through the volume, multiply, sum.

    With a volume of ``D x H x W`` and a kernel of ``J x K x L`` along `axes`::

        out[p, q, r] = sum over h, i, j of kernel[h, i, j] * volume[p + front - h, q + top - i, r + left - j]

    Parameters
    ----------
    volume : array_like, shape (..., D, H, W)
        The volume, or video. All axes but `axes` are a batch.
    kernel : array_like, shape (J, K, L)
        The taps; ``kernel.shape[k]`` lies along ``axes[k]``.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute, along each axis as in `convolve1d`: ``H + K - 1``, ``H`` or ``abs(H - K) + 1`` rows,
        for instance.
        In mode 'valid' one of volume and kernel must be at least as large as the other along all three axes.
    axes : tuple of three int
        The axes to convolve along.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `volume` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero',
        nothing; 'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap',
        ``a b c``. The kernel may be larger than `volume`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `volume` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(volume, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 3-D, mode 'valid' if neither of volume and kernel contains the other, an
        unknown mode, boundary or method, axes that are equal or out of range, a `fill_value` that the result cannot
        hold or that `boundary` does not use, a stride or dilation below 1, a `start` outside of the full result or with
        mode 'valid', tuples of another length, and an `out` that does not fit; and for a ``FASTCONV_NUM_THREADS`` that
        is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    correlate3d : The same without the flip.
    convolve : Along any number of axes, also with a kernel for each line.
    convolve1d : Along one axis; its Notes on types and accuracy apply, with ``J * K * L`` taps.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> volume = np.zeros((3, 4, 5), int)
    >>> volume[1, 2, 2] = 1
    >>> fastconv.convolve3d(volume, np.ones((1, 1, 3), int), "same")[1]
    array([[0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])

    Every second result in each direction, with the edges repeated in time and zeros around each frame:

    >>> video = np.ones((16, 48, 64), np.float32)
    >>> box = np.ones((3, 5, 5), np.float32) / 75
    >>> fastconv.convolve3d(video, box, "same", boundary=("nearest", "zero", "zero"), stride=2).shape
    (8, 24, 32)
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(
        volume, kernel, 3, "volume", mode, axes, boundary, fill_value, method, check, workers, out, True, rare
    )


def correlate3d(
    volume: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: tuple[int, int, int] = _LAST_THREE,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Correlate along three axes: conjugate the kernel, shift it through the volume, multiply, sum.

    It equals ``convolve3d(volume, numpy.conj(kernel)[::-1, ::-1, ::-1], ...)``.

    Parameters
    ----------
    volume : array_like, shape (..., D, H, W)
        The volume, or video. All axes but `axes` are a batch.
    kernel : array_like, shape (J, K, L)
        The taps; ``kernel.shape[k]`` lies along ``axes[k]``.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute, along each axis as in `convolve1d`: ``H + K - 1``, ``H`` or ``abs(H - K) + 1`` rows,
        for instance.
        In mode 'valid' one of volume and kernel must be at least as large as the other along all three axes.
    axes : tuple of three int
        The axes to correlate along.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `volume` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero',
        nothing; 'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap',
        ``a b c``. The kernel may be larger than `volume`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `volume` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array; its dtype is ``numpy.result_type(volume, kernel)``.

    Raises
    ------
    ValueError
        For empty input, a kernel that is not 3-D, mode 'valid' if neither of volume and kernel contains the other, an
        unknown mode, boundary or method, axes that are equal or out of range, a `fill_value` that the result cannot
        hold or that `boundary` does not use, a stride or dilation below 1, a `start` outside of the full result or with
        mode 'valid', tuples of another length, and an `out` that does not fit; and for a ``FASTCONV_NUM_THREADS`` that
        is not a positive integer.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    convolve3d : The same with the flip.
    correlate2d : Along two axes.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate3d([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1, 10]], [[100, 1000]]], "valid")
    array([[[6521],
            [8743]]])
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved(
        volume,
        kernel,
        3,
        "volume",
        mode,
        axes,
        boundary,
        fill_value,
        method,
        check,
        workers,
        out,
        False,
        rare,
    )


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: int | tuple[int, ...] | None = None,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Convolve two arrays along all their axes, as `scipy.signal.convolve` does, or along some.

    It is `convolve1d` along each axis. Along other axes than `axes` both arrays are broadcast, as in
    `scipy.signal.fftconvolve`: a batch, with one kernel for all of it or a kernel for each line.

    Parameters
    ----------
    x, kernel : array_like
        Samples and taps, with the same number of dimensions. With `axes`, the kernel may have one dimension for each of
        them instead.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute; sizes and starts are SciPy's, see `convolve1d`. 'same' has the shape of `x`.
        In mode 'valid' one of both must be at least as large as the other along all axes.
    axes : int or tuple of int, optional
        The axes to convolve along, by default all. A kernel of one dimension for each of `axes` has ``kernel.shape[k]``
        taps along ``axes[k]``, and is the same along all other axes. Else it has as many dimensions as `x`, and
        ``kernel.shape[axis]`` taps along each of `axes`; its other extents, and those of `x`, must be equal or 1.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `x` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `x`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `x` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new array with as many dimensions as `x`; its dtype is ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        If `x` and `kernel` differ in their number of dimensions and `axes` does not explain it, or cannot be broadcast;
        and as `convolve2d`.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    convolve1d, convolve2d, convolve3d : Along one, two or three axes, the last ones by default.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    >>> fastconv.convolve([[1, 2]], [[1], [10]])
    array([[ 1,  2],
           [10, 20]])
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved_along(x, kernel, mode, axes, boundary, fill_value, method, check, workers, out, True, rare)


def correlate(
    x: ArrayLike,
    kernel: ArrayLike,
    mode: Mode | tuple[Mode, ...] = "full",
    *,
    axes: int | tuple[int, ...] | None = None,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    out: NDArray | None = None,
    progress: Progress | None = None,
    nan: Nan = PROPAGATE,
    weights: ArrayLike | None = None,
    min_weight: float = ANY_SHARE,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> NDArray | Any:
    """Correlate two arrays, as `scipy.signal.correlate` does: `convolve` with the kernel conjugated and not flipped.

    Parameters
    ----------
    x, kernel : array_like
        Samples and taps, with the same number of dimensions. With `axes`, the kernel may have one dimension for each of
        them instead.
    mode : {'full', 'same', 'valid'}, or tuple of one for each axis
        Which outputs to compute; sizes and starts are SciPy's, see `convolve1d`. 'same' has the shape of `x`.
        In mode 'valid' one of both must be at least as large as the other along all axes.
    axes : int or tuple of int, optional
        The axes to correlate along, by default all. A kernel of one dimension for each of `axes` has
        ``kernel.shape[k]`` taps along ``axes[k]``, and is the same along all other axes. Else it has as many dimensions
        as `x`, and ``kernel.shape[axis]`` taps along each of `axes`; its other extents, and those of `x`, must be equal
        or 1.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}, or tuple of one for each axis
        How `x` continues outside, mostly named as in `scipy.ndimage`. To the right of ``a b c d``: 'zero', nothing;
        'fill', `fill_value`; 'nearest', ``d d d``; 'reflect', ``d c b``; 'mirror', ``c b a``; 'wrap', ``a b c``. The
        kernel may be larger than `x`.
    fill_value : scalar
        The value outside, for ``boundary='fill'``. The type of the result must be able to hold it.
    stride, dilation : int, or tuple of one for each axis
        Compute only every `stride`-th result; place taps `dilation` samples apart. As in `convolve1d`.
    start : int or {'first', 'center', 'last'}, or tuple of one or None for each axis, optional
        Index of the first result in the full one along each axis, for the modes 'full' and 'same', as in `convolve1d`.
    method : {'auto', 'direct', 'separable', 'fft'}
        How to compute. 'direct' sums the products one by one. 'separable', for 2-D kernels that are an outer product,
        convolves along the rows and then along the columns. 'fft', except for bools, multiplies spectra.
        'auto' takes the method that is estimated to be the fastest; `fastconv.plan` reports which one.
    check : bool
        Check what the method 'fft' gives, and compute in another way what is not exact enough: the error of each result
        is then relative to the samples under the kernel. With False it is relative to the largest samples nearby.
    workers : int, optional
        The maximum number of threads, within the limits of the process: its CPU affinity, the CPU quota of its
        container, and the environment variable ``FASTCONV_NUM_THREADS``. By default as many as these allow; if that
        variable is not set, ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` limit the default too. Results do not depend
        on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap `x` and `kernel`.
    progress : callable, optional
        Told how much is done, as in `convolve1d`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        What to do about missing samples, as in `convolve1d`.

    Returns
    -------
    ndarray
        `out`, or a new array with as many dimensions as `x`; its dtype is ``numpy.result_type(x, kernel)``.

    Raises
    ------
    ValueError
        If `x` and `kernel` differ in their number of dimensions and `axes` does not explain it, or cannot be broadcast;
        and as `convolve2d`.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    correlate1d, correlate2d, correlate3d : Along one, two or three axes, the last ones by default.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.correlate([1, 2], [1j, 2j, 3j])
    array([0.-3.j, 0.-8.j, 0.-5.j, 0.-2.j])
    """
    rare = rare_options(
        stride, dilation, start, None, progress, nan, weights, min_weight, return_weight, normalize, missing_value
    )
    return convolved_along(x, kernel, mode, axes, boundary, fill_value, method, check, workers, out, False, rare)


def correlation_lags(
    samples: int,
    taps: int,
    mode: Mode = "full",
    *,
    stride: int = 1,
    dilation: int = 1,
    start: Start = None,
) -> NDArray[np.int64]:
    """Return the lags of the results of `correlate1d`: how far the kernel is shifted to the right for each.

    Result number ``i`` of the full correlation has lag ``i - (M' - 1)``, for a kernel that spans ``M'`` samples.

    Parameters
    ----------
    samples, taps : int
        The lengths of input and kernel.
    mode, stride, dilation, start : optional
        As in `correlate1d`.

    Returns
    -------
    ndarray
        One lag for each result.

    Raises
    ------
    ValueError, TypeError
        As `correlate1d`; and for lengths that are not positive integers.

    See Also
    --------
    correlate1d : The correlation, which takes `lags` too.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> fastconv.correlation_lags(4, 3)
    array([-2, -1,  0,  1,  2,  3])
    >>> x, kernel = np.array([0, 0, 0, 1, 2, 0]), np.array([1, 2])
    >>> lags = fastconv.correlation_lags(len(x), len(kernel), "same")
    >>> int(lags[fastconv.correlate1d(x, kernel, "same").argmax()])
    3
    """
    samples, taps = as_length(samples, "samples"), as_length(taps, "taps")
    steps = as_steps(stride, dilation, start, None, 1)
    mode = as_choice(mode, "mode", MODES)
    sweep = as_sweep(samples, taps, mode, steps).simplified()
    first = sweep.start - reach(sweep.taps, sweep.dilation) + 1
    return first + sweep.stride * np.arange(sweep.outputs)
