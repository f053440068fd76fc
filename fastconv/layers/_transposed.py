"""Transposed layers: the adjoints of layers as layers of their own."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_integer, as_workers
from fastconv._model.geometry import reach
from fastconv._model.message_formatting import shown
from fastconv._model.passed_exceptions import passed
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options, as_options
from fastconv.layers._convolution import Layout, Padding
from fastconv.layers._planes import input_gradient, planar
from fastconv.layers._results import written


def conv_transpose2d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Padding = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a transposed 2-D layer: the adjoint of `conv2d`, for upsampling by its stride.

    Each sample adds the kernels, times its value, to the output::

        out[n, o, r*s + i*d - t, c*s + j*d - l] += weights[m, o, i, j] * x[n, m, r, c]

    Parameters
    ----------
    x : array_like, shape (N, C, H, W), or (N, H, W, C) with channels last
        A batch of images; or one image, without ``N``.
    weights : array_like, shape (C, O / groups, kH, kW)
        The kernels, in the order of the layer that this is the adjoint of.
    bias : array_like, shape (O,), optional
        Added to each output channel.
    stride, dilation : int or pair of int
        Those of that layer.
    padding : int, pair, or pair of pairs
        Samples that are left out at each end of the output, the padding of that layer.
    output_padding : int or pair of int
        Samples added at the end of each axis of the output, fewer than the stride or the dilation.
    groups, layout, workers, out : optional
        As in `conv2d`.

    Returns
    -------
    ndarray
        `out`, or a new array with ``(H - 1) * s - t - b + (kH - 1) * d + 1 + output_padding`` rows.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d : The layer of which it is the adjoint.
    conv2d_input_gradient : The same for a known input shape.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv_transpose2d([[[1, 2], [3, 4]]], [[[[1, 1], [1, 1]]]], stride=2)
    array([[[1, 1, 2, 2],
            [1, 1, 2, 2],
            [3, 3, 4, 4],
            [3, 3, 4, 4]]])
    """
    options = as_options(2, stride, padding, dilation, groups, "zero", 0, layout)
    return _transpose(x, weights, bias, output_padding, options, workers, out)


def conv_transpose1d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int] = 1,
    padding: Padding = 0,
    output_padding: int | tuple[int] = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a transposed 1-D layer: as `conv_transpose2d`, with one axis.

    Parameters
    ----------
    x : array_like, shape (N, C, L)
        A batch.
    weights : array_like, shape (C, O / groups, K)
        The kernels.
    bias, stride, padding, output_padding, dilation, groups, layout, workers, out : optional
        As in `conv_transpose2d`.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv_transpose2d : All parameters.
    conv1d : The layer of which it is the adjoint.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv_transpose1d([[1, 2]], [[[1, 10, 100]]], stride=2)
    array([[  1,  10, 102,  20, 200]])
    """
    options = as_options(1, stride, padding, dilation, groups, "zero", 0, layout)
    return _transpose(x, weights, bias, output_padding, options, workers, out)


def conv_transpose3d(
    x: ArrayLike,
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: int | tuple[int, int, int] = 1,
    padding: Padding = 0,
    output_padding: int | tuple[int, int, int] = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Apply a transposed 3-D layer: as `conv_transpose2d`, with three axes.

    Parameters
    ----------
    x : array_like, shape (N, C, D, H, W)
        A batch.
    weights : array_like, shape (C, O / groups, kD, kH, kW)
        The kernels.
    bias, stride, padding, output_padding, dilation, groups, layout, workers, out : optional
        As in `conv_transpose2d`.

    Returns
    -------
    ndarray
        `out`, or a new array.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv_transpose2d : All parameters.
    conv3d : The layer of which it is the adjoint.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.conv_transpose3d(np.ones((1, 2, 2, 2)), np.ones((1, 3, 2, 2, 2)), stride=2).shape
    (3, 4, 4, 4)
    """
    options = as_options(3, stride, padding, dilation, groups, "zero", 0, layout)
    return _transpose(x, weights, bias, output_padding, options, workers, out)


def _transpose(x, weights, bias, output_padding, options: Options, workers, out) -> NDArray:
    check_variable_once()
    workers = as_workers(workers)
    axes = options.axes
    kernels = _arguments.as_weights(weights, axes)
    batch, single = _arguments.as_batch(x, options)
    _pins = pinned(batch, kernels)
    if batch.shape[1] != kernels.shape[0]:
        raise ValueError(
            f"x must have {kernels.shape[0]} channels, those of weights of shape {kernels.shape}; got {batch.shape[1]}"
        )
    if kernels.shape[0] % options.groups:
        raise ValueError(f"groups must divide the {kernels.shape[0]} channels of x; got {options.groups}")
    if any(isinstance(padding, str) for padding in options.padding):
        raise ValueError(f"padding must be given in integers for a transposed layer; got {shown(options.padding[0])}")
    options, dtype = _arguments.as_filled(options, batch.dtype, kernels.dtype)
    extra = _as_output_padding(output_padding, options)
    extents = tuple(
        (samples - 1) * stride - sum(padding) + reach(taps, dilation) + added
        for samples, stride, padding, taps, dilation, added in zip(
            batch.shape[2:], options.stride, options.padding, kernels.shape[2:], options.dilation, extra
        )
    )
    outputs = kernels.shape[1] * options.groups
    if any(extent < 1 for extent in extents):
        raise ValueError(f"padding must leave some of the output, of shape {extents}; got {options.padding}")
    starts = tuple(-padding[0] for padding in options.padding)
    added = Weights(planar(kernels), _arguments.as_bias(bias, outputs, dtype))
    if kernels.dtype.kind == "c":  # the adjoint conjugates
        added = Weights(added.array.conj(), added.bias)
    return written(
        lambda target: input_gradient(added, batch, target, starts, options, workers),
        (batch.shape[0], outputs, *extents), dtype, options, single, out, (batch, kernels),
    )  # fmt: skip


def _as_output_padding(value: Any, options: Options) -> tuple[int, ...]:
    """Convert to one number for each axis, each less than the stride or the dilation."""
    allowed = f"an integer, or one for each of {options.axes} axes, not negative and less than the stride or dilation"
    given = value if isinstance(value, (tuple, list)) else (value,) * options.axes
    try:
        numbers = tuple(map(as_integer, given))
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"output_padding must be {allowed}; got {shown(value)}") from error
    if len(numbers) != options.axes or not all(
        0 <= number < max(pair) for number, *pair in zip(numbers, options.stride, options.dilation)
    ):
        raise ValueError(f"output_padding must be {allowed}; got {shown(value)}")
    return numbers
