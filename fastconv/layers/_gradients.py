"""Gradients of layers, and transposed layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_integer, as_workers
from fastconv._model.checks import as_out, overlaps_itself
from fastconv._model.layer_problem import reach
from fastconv._model.message_formatting import PASSED, shown
from fastconv._planning.layer_plans import Weights
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import chunk_slices, copy
from fastconv.convolution import Boundary
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options, as_options
from fastconv.layers._convolution import Layout, Padding
from fastconv.layers._planes import input_gradient, planar, weight_gradient


def conv2d_input_gradient(
    gradient: ArrayLike,
    weights: ArrayLike,
    input_shape: tuple[int, ...],
    *,
    stride: int | tuple[int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Gradient of `conv2d` to its input: the adjoint of the layer.

    Parameters
    ----------
    gradient : array_like, shape (N, O, H', W'), or (N, H', W', O) with channels last
        The gradient to the output of the layer, before its activation; or that of one image, without ``N``.
    weights : array_like, shape (O, C / groups, kH, kW)
        The kernels of the layer. Complex ones are conjugated.
    input_shape : tuple of int
        The shape of the input, (N, C, H, W), (N, H, W, C) with channels last, or that without ``N``.
    stride, padding, dilation, groups, padding_mode, layout, workers : optional
        Those of the layer.
    out : ndarray, optional
        The array to write the result to, of its shape and dtype. It may overlap the other arrays.

    Returns
    -------
    ndarray of shape `input_shape`
        Its dtype is that of `conv2d` for inputs of the types of `gradient` and `weights`.

    Raises
    ------
    ValueError
        If `gradient` does not have the shape of the layer's output; and as `conv2d`.
    TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_weight_gradient : The gradient to the weights.
    conv_transpose2d : The same as a layer of its own.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv2d_input_gradient([[[1, 10]]], [[[[2, 3]]]], (1, 1, 3))
    array([[[ 2, 23, 30]]])
    """
    options = as_options(2, stride, padding, dilation, groups, padding_mode, 0, layout)
    return _input_gradient(gradient, weights, input_shape, options, workers, out)


def conv1d_input_gradient(
    gradient: ArrayLike,
    weights: ArrayLike,
    input_shape: tuple[int, ...],
    *,
    stride: int | tuple[int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Gradient of `conv1d` to its input: as `conv2d_input_gradient`, with one axis.

    Parameters
    ----------
    gradient : array_like, shape (N, O, L')
        The gradient to the output of the layer.
    weights : array_like, shape (O, C / groups, K)
        The kernels of the layer.
    input_shape : tuple of int, (N, C, L)
        The shape of the input.
    stride, padding, dilation, groups, padding_mode, layout, workers, out : optional
        As in `conv2d_input_gradient`.

    Returns
    -------
    ndarray of shape `input_shape`
        As of `conv2d_input_gradient`.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_input_gradient : All parameters.
    conv1d : The layer.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv1d_input_gradient([[1, 10]], [[[2, 3]]], (1, 3))
    array([[ 2, 23, 30]])
    """
    options = as_options(1, stride, padding, dilation, groups, padding_mode, 0, layout)
    return _input_gradient(gradient, weights, input_shape, options, workers, out)


def conv3d_input_gradient(
    gradient: ArrayLike,
    weights: ArrayLike,
    input_shape: tuple[int, ...],
    *,
    stride: int | tuple[int, int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    layout: Layout = "channels_first",
    workers: int | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """Gradient of `conv3d` to its input: as `conv2d_input_gradient`, with three axes.

    Parameters
    ----------
    gradient : array_like, shape (N, O, D', H', W')
        The gradient to the output of the layer.
    weights : array_like, shape (O, C / groups, kD, kH, kW)
        The kernels of the layer.
    input_shape : tuple of int, (N, C, D, H, W)
        The shape of the input.
    stride, padding, dilation, groups, padding_mode, layout, workers, out : optional
        As in `conv2d_input_gradient`.

    Returns
    -------
    ndarray of shape `input_shape`
        As of `conv2d_input_gradient`.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_input_gradient : All parameters.
    conv3d : The layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.conv3d_input_gradient(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 1, 2)), (1, 1, 1, 3))
    array([[[[1., 2., 1.]]]])
    """
    options = as_options(3, stride, padding, dilation, groups, padding_mode, 0, layout)
    return _input_gradient(gradient, weights, input_shape, options, workers, out)


def conv2d_weight_gradient(
    x: ArrayLike,
    gradient: ArrayLike,
    kernel_shape: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    workers: int | None = None,
) -> NDArray:
    """Gradient of `conv2d` to its weights.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W), or (N, H, W, C) with channels last
        The input of the layer; or one image, without ``N``. Complex samples are conjugated.
    gradient : array_like, shape (N, O, H', W'), or (N, H', W', O) with channels last
        The gradient to the output of the layer, before its activation.
    kernel_shape : int or pair of int
        Rows and columns of the kernels.
    stride, padding, dilation, groups, padding_mode, fill_value, layout, workers : optional
        Those of the layer.

    Returns
    -------
    ndarray, shape (O, C / groups, kH, kW)
        Its dtype is that of `conv2d` for inputs of the types of `x` and `gradient`.

    Raises
    ------
    ValueError
        If `gradient` does not have the shape of the layer's output; and as `conv2d`.
    TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_input_gradient : The gradient to the input.
    fastconv.fit_kernel : Find a kernel by least squares at once.

    Notes
    -----
    Products are added up in blocks of rows, and those in a fixed order: the result does not depend on `workers`.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv2d_weight_gradient([[[1, 2, 3]]], [[[1, 10]]], (1, 2))
    array([[[[21, 32]]]])
    """
    options = as_options(2, stride, padding, dilation, groups, padding_mode, fill_value, layout)
    return _weight_gradient(x, gradient, kernel_shape, options, workers)


def conv1d_weight_gradient(
    x: ArrayLike,
    gradient: ArrayLike,
    kernel_shape: int | tuple[int],
    *,
    stride: int | tuple[int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    workers: int | None = None,
) -> NDArray:
    """Gradient of `conv1d` to its weights: as `conv2d_weight_gradient`, with one axis.

    Parameters
    ----------
    x : array_like, shape (N, C, L)
        The input of the layer.
    gradient : array_like, shape (N, O, L')
        The gradient to the output of the layer.
    kernel_shape : int
        The extents of the kernels.
    stride, padding, dilation, groups, padding_mode, fill_value, layout, workers : optional
        As in `conv2d_weight_gradient`.

    Returns
    -------
    ndarray, shape (O, C / groups, K)
        As of `conv2d_weight_gradient`.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_weight_gradient : All parameters.
    conv1d : The layer.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.conv1d_weight_gradient([[1, 2, 3]], [[1, 10]], 2)
    array([[[21, 32]]])
    """
    options = as_options(1, stride, padding, dilation, groups, padding_mode, fill_value, layout)
    return _weight_gradient(x, gradient, kernel_shape, options, workers)


def conv3d_weight_gradient(
    x: ArrayLike,
    gradient: ArrayLike,
    kernel_shape: int | tuple[int, int, int],
    *,
    stride: int | tuple[int, int, int] = 1,
    padding: Padding = 0,
    dilation: int | tuple[int, int, int] = 1,
    groups: int = 1,
    padding_mode: Boundary = "zero",
    fill_value: complex = 0,
    layout: Layout = "channels_first",
    workers: int | None = None,
) -> NDArray:
    """Gradient of `conv3d` to its weights: as `conv2d_weight_gradient`, with three axes.

    Parameters
    ----------
    x : array_like, shape (N, C, D, H, W)
        The input of the layer.
    gradient : array_like, shape (N, O, D', H', W')
        The gradient to the output of the layer.
    kernel_shape : int or tuple of three
        The extents of the kernels.
    stride, padding, dilation, groups, padding_mode, fill_value, layout, workers : optional
        As in `conv2d_weight_gradient`.

    Returns
    -------
    ndarray, shape (O, C / groups, kD, kH, kW)
        As of `conv2d_weight_gradient`.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_weight_gradient : All parameters.
    conv3d : The layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.conv3d_weight_gradient(np.ones((1, 2, 2, 2)), np.ones((1, 1, 1, 1)), 2).shape
    (1, 1, 2, 2, 2)
    """
    options = as_options(3, stride, padding, dilation, groups, padding_mode, fill_value, layout)
    return _weight_gradient(x, gradient, kernel_shape, options, workers)


def bias_gradient(gradient: ArrayLike, *, layout: Layout = "channels_first", axes: int = 2) -> NDArray:
    """Gradient of a layer to its bias: the sum over all but the channels.

    Parameters
    ----------
    gradient : array_like, shape (N, O, H', W'), or (N, H', W', O) with channels last
        The gradient to the output of the layer, before its activation; or that of one image, without ``N``.
    layout : {'channels_first', 'channels_last'}
        That of the layer.
    axes : {2, 1, 3}
        Axes of the layer: 1 for `conv1d`, 3 for `conv3d`.

    Returns
    -------
    ndarray, shape (O,)
        Of the type of `gradient`; int64 or uint64 for integers.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d_weight_gradient : The gradient to the weights.
    conv2d_input_gradient : The gradient to the input.

    Examples
    --------
    >>> from fastconv import layers
    >>> layers.bias_gradient([[[1, 2], [3, 4]], [[0, 0], [0, 1]]])
    array([10,  1])
    """
    if _arguments.as_extent(axes, "axes") not in (1, 2, 3):
        raise ValueError(f"axes must be 1, 2 or 3; got {shown(axes)}")
    options = as_options(int(axes), 1, 0, 1, 1, "zero", 0, layout)
    slopes, _ = _arguments.as_batch(gradient, options, "gradient")
    _pins = pinned(slopes)
    dtype = (
        slopes.dtype.newbyteorder("=")
        if slopes.dtype.kind in "fc"
        else np.dtype(np.uint64 if slopes.dtype.kind == "u" else np.int64)
    )
    exact = np.promote_types(dtype, np.float64) if dtype.kind in "fc" else dtype
    total = np.zeros(slopes.shape[1], exact)
    others = tuple(axis for axis in range(slopes.ndim) if axis != 1)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(slopes.shape):
            total[chunk[1]] += slopes[chunk].sum(axis=others, dtype=exact)
        return total.astype(dtype)


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


def _input_gradient(gradient, weights, input_shape, options: Options, workers, out) -> NDArray:
    check_variable_once()
    workers = as_workers(workers)
    kernels = _arguments.as_weights(weights, options.axes)
    slopes, single = _arguments.as_batch(gradient, options, "gradient")
    _pins = pinned(slopes, kernels)
    _arguments.as_groups(kernels, options.groups)
    shape = _arguments.as_input_shape(input_shape, options, single, slopes.shape[0], kernels)
    options, dtype = _arguments.as_filled(options, slopes.dtype, kernels.dtype)
    found = _arguments.padded_spans(shape, kernels.shape[2:], options, "input_shape")
    expected = (shape[0], kernels.shape[0], *(each.outputs for each in found))
    _arguments.check_gradient(slopes, expected, options, single, single)
    starts = tuple(each.start for each in found)
    return _written(
        lambda target: input_gradient(Weights(planar(kernels)), slopes, target, starts, options, workers),
        shape, dtype, options, single, out, (slopes, kernels),
    )  # fmt: skip


def _weight_gradient(x, gradient, kernel_shape, options: Options, workers) -> NDArray:
    check_variable_once()
    workers = as_workers(workers)
    kernel = _arguments.as_steps(kernel_shape, "kernel_shape", options.axes)
    batch, single = _arguments.as_batch(x, options)
    slopes, slopes_single = _arguments.as_batch(gradient, options, "gradient")
    _pins = pinned(batch, slopes)
    options, dtype = _arguments.as_filled(options, batch.dtype, slopes.dtype)
    outputs, channels = slopes.shape[1], batch.shape[1]
    if channels % options.groups or outputs % options.groups:
        raise ValueError(
            f"groups must divide the {channels} channels of x and the {outputs} of gradient; got {options.groups}"
        )
    found = _arguments.padded_spans(batch.shape, kernel, options)
    expected = (batch.shape[0], outputs, *(each.outputs for each in found))
    _arguments.check_gradient(slopes, expected, options, slopes_single, single)
    shape = (outputs, channels // options.groups, *kernel)
    _arguments.check_size(shape, dtype)
    result = np.empty(shape, dtype)
    weight_gradient(batch, slopes, result, tuple(each.start for each in found), options, workers)
    return result


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
    return _written(
        lambda target: input_gradient(added, batch, target, starts, options, workers),
        (batch.shape[0], outputs, *extents), dtype, options, single, out, (batch, kernels),
    )  # fmt: skip


def _as_output_padding(value: Any, options: Options) -> tuple[int, ...]:
    """Convert to one number for each axis, each less than the stride or the dilation."""
    allowed = f"an integer, or one for each of {options.axes} axes, not negative and less than the stride or dilation"
    given = value if isinstance(value, (tuple, list)) else (value,) * options.axes
    try:
        numbers = tuple(map(as_integer, given))
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"output_padding must be {allowed}; got {shown(value)}") from error
    if len(numbers) != options.axes or not all(
        0 <= number < max(pair) for number, *pair in zip(numbers, options.stride, options.dilation)
    ):
        raise ValueError(f"output_padding must be {allowed}; got {shown(value)}")
    return numbers


def _written(fill, shape, dtype, options: Options, single: bool, out, inputs) -> NDArray:
    """Fill a new array, or `out`, and return it; `shape` is of the order (number, channels, ...)."""
    returned = _arguments.in_layout(shape, options, single)
    _arguments.check_size(shape, dtype)
    given = None
    if out is not None:
        given = as_out(out, returned, dtype)
        _out_pins = pinned(given)
        if not overlaps_itself(given) and not any(np.may_share_memory(given, array) for array in inputs):
            fill(_arguments.in_order(given[np.newaxis] if single else given, options))
            return out
    result = np.empty(returned, dtype)
    fill(_arguments.in_order(result[np.newaxis] if single else result, options))
    if given is None:
        return result
    copy(given, result)
    return out
