"""The layers themselves, and plans of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_workers
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv.convolution import Boundary
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options, as_options
from fastconv.layers._planes import apply_planes, planar
from fastconv.layers._results import written

Layout = Literal["channels_first", "channels_last"]
Activation = Literal["relu"]
Padding = Any  # a name, an integer, or one or a pair for each axis


def conv2d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    activation: Activation | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a 2-D convolutional layer: correlate images with a bank of kernels, and sum over channels.

    With a stride ``s``, a dilation ``d``, ``t`` rows of padding above and ``l`` columns on the left::

        out[n, o, r, c] = bias[o] + sum over m, i, j of weights[o, m, i, j] * x[n, m, r*s + i*d - t, c*s + j*d - l]

    Parameters
    ----------
    x : array_like, shape (N, C, H, W), or (N, H, W, C) with channels last
        A batch of images; or one image, without ``N``.
    weights : array_like, shape (O, C / groups, kH, kW)
        The kernels, in either layout. They are not flipped, as in all frameworks.
    bias : array_like, shape (O,), optional
        Added to each output channel; rounded to the type of the result.
    stride : int or pair of int
        Distance between the samples under neighbouring outputs, down and across.
    padding : int, pair, pair of pairs, or {'valid', 'same', 'same_lower'}
        Samples added around an image: an integer, one for each axis, or ``((top, bottom), (left, right))``. 'valid'
        is 0. 'same' gives ``ceil(n / stride)`` outputs, with half of the padding that these need on either side and an
        odd sample at the end, as TensorFlow and JAX do, and PyTorch with stride 1; 'same_lower' has it at the start.
    dilation : int or pair of int
        Distance between the samples under neighbouring taps.
    groups : int
        Divide the channels into groups: each output channel sees those of its own group only.
    padding_mode : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        What padding consists of, as the `boundary` of `fastconv.convolve2d`, in any amount. PyTorch's 'reflect' is
        'mirror' here, its 'replicate' 'nearest', and its 'circular' 'wrap'.
    fill_value : scalar
        The value of padding, for ``padding_mode='fill'``.
    layout : {'channels_first', 'channels_last'}
        The order of the axes of `x` and the result.
    activation : {'relu'}, optional
        Replace negative results by 0; NaN stays.
    workers : int, optional
        The maximum number of threads, as in `fastconv.convolve1d`. Results do not depend on it.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap the other arrays.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array. Its dtype is ``numpy.result_type(x, weights)`` for floats; int32 where both
        are integers of 8 bits, as quantised networks want, and int64 (uint64) for wider integers.

    Raises
    ------
    ValueError
        For empty input, shapes that do not fit, unknown names, a kernel larger than the padded image, and options out
        of range.
    TypeError
        For input that is not numeric, and options of the wrong type.

    See Also
    --------
    plan2d : Pack the weights once for many batches.

    Notes
    -----
    Floats with large kernels of stride 1 may be computed by spectra of tiles: errors are then relative to the largest
    samples of a tile, and whole numbers are no longer exact.

    Sums are taken in the type of the result, in partial sums of some 500 products. Integers wrap. float16 is computed
    in float32 and rounded once; a complex layer consists of two or four real ones. With ``padding_mode='zero'`` samples
    outside are left out of the sum, which differs from adding zeros only where weights are infinite or NaN.

    Results are the same to the last bit for any number of workers on one kind of processor, and in both layouts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> image = np.arange(16.0).reshape(1, 4, 4)
    >>> slopes = np.array([[[[-1.0, 1.0], [0.0, 0.0]]], [[[-1.0, 0.0], [1.0, 0.0]]]])
    >>> layers.conv2d(image, slopes)
    array([[[1., 1., 1.],
            [1., 1., 1.],
            [1., 1., 1.]],
    <BLANKLINE>
           [[4., 4., 4.],
            [4., 4., 4.],
            [4., 4., 4.]]])
    >>> layers.conv2d(image, slopes, stride=2, padding="same").shape
    (2, 2, 2)
    """
    options = as_options(2, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation)
    return _apply(x, weights, bias, options, workers, out)


def conv1d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    activation: Activation | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a 1-D convolutional layer to signals of shape (N, C, L), or (N, L, C) with channels last.

    Parameters
    ----------
    x : array_like, shape (N, C, L), or (N, L, C) with channels last
        A batch of signals; or one, without ``N``.
    weights : array_like, shape (O, C / groups, K)
        The kernels.
    padding : int, ``((left, right),)``, or {'valid', 'same', 'same_lower'}
        Samples added at both ends, as in `conv2d`.
    bias, stride, dilation, groups, padding_mode, fill_value, layout, activation, workers, out : optional
        As in `conv2d`.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d : All parameters.
    conv1d_weight_gradient : Its gradient to the weights.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv1d([[1, 2, 3, 4]], [[[1, 10]], [[0, -1]]], bias=[0, 5], stride=2)
    array([[21, 43],
           [ 3,  1]])
    """
    options = as_options(1, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation)
    return _apply(x, weights, bias, options, workers, out)


def conv3d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int, int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    activation: Activation | None = None,
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a 3-D convolutional layer to volumes of shape (N, C, D, H, W), or (N, D, H, W, C) with channels last.

    It is the sum of a 2-D layer for each plane of the kernels.

    Parameters
    ----------
    x : array_like, shape (N, C, D, H, W), or (N, D, H, W, C) with channels last
        A batch of volumes; or one, without ``N``.
    weights : array_like, shape (O, C / groups, kD, kH, kW)
        The kernels.
    bias, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation, workers, out : optional
        As in `conv2d`, for three axes.

    Returns
    -------
    ndarray
        `out`, or a new C-contiguous array.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d : All parameters.
    conv3d_weight_gradient : Its gradient to the weights.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.conv3d(np.ones((1, 4, 4, 4)), np.ones((1, 1, 3, 3, 3)))[0, 0]
    array([[27., 27.],
           [27., 27.]])
    """
    options = as_options(3, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation)
    return _apply(x, weights, bias, options, workers, out)


def _apply(x, weights, bias, options: Options, workers, out) -> NDArray:
    """Check arrays, and apply a layer to them."""
    check_variable_once()
    workers = as_workers(workers)
    kernels = _arguments.as_weights(weights, options.axes)
    batch, single = _arguments.as_batch(x, options)
    _pins = pinned(batch, kernels)
    options, dtype = _arguments.as_filled(options, batch.dtype, kernels.dtype)
    _arguments.check_channels(batch, kernels, options.groups)
    return run(
        Weights(planar(kernels), _arguments.as_bias(bias, kernels.shape[0], dtype), is_used_once=True),
        batch,
        single,
        options,
        dtype,
        workers,
        out,
    )


def run(weights: Weights, batch: np.ndarray, single: bool, options: Options, dtype: np.dtype, workers, out) -> NDArray:
    """Apply a layer to a checked batch in the order (number, channels, ...)."""
    kernels = weights.array
    shape, starts = _extents(batch.shape, kernels.shape, options)
    return written(
        lambda target: apply_planes(weights, batch, target, starts, options, workers),
        shape, dtype, options, single, out, (batch, kernels),
    )  # fmt: skip


@kept
def _extents(
    batch: tuple[int, ...], kernels: tuple[int, ...], options: Options
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of the result, and the sample under the first tap of output 0 along each axis."""
    found = _arguments.padded_spans(batch, kernels[-options.axes :], options)
    return (batch[0], kernels[0], *(each.outputs for each in found)), tuple(each.start for each in found)
