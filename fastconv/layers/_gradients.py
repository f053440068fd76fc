"""Gradients of layers to their input, weights and bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import as_workers
from fastconv._model.message_formatting import shown
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.convolution import Boundary
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options, as_options
from fastconv.layers._convolution import Layout, Padding
from fastconv.layers._planes import input_gradient, planar, weight_gradient
from fastconv.layers._results import written


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


def _input_gradient(gradient, weights, input_shape, options: Options, workers, out) -> NDArray:
    check_variable_once()
    workers = as_workers(workers)
    kernels = _arguments.as_weights(weights, options.axes)
    slopes, single = _arguments.as_batch(gradient, options, "gradient")
    _pins = pinned(slopes, kernels)
    _arguments.as_groups(kernels, options.groups)
    given = input_shape, options, single, slopes.shape[0], kernels.shape
    is_plain = type(input_shape) is tuple and _arguments.are_plain(input_shape)
    shape, expected, starts = (_kept_input_extents if is_plain else _input_extents)(*given)
    options, dtype = _arguments.as_filled(options, slopes.dtype, kernels.dtype)
    _arguments.check_gradient(slopes, expected, options, single, single)
    return written(
        lambda target: input_gradient(Weights(planar(kernels)), slopes, target, starts, options, workers),
        shape, dtype, options, single, out, (slopes, kernels),
    )  # fmt: skip


def _input_extents(
    input_shape, options: Options, single: bool, number: int, kernels: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shapes of the input and the output, of the order (number, channels, ...), and the sample under the first tap."""
    shape = _arguments.as_input_shape(input_shape, options, single, number, kernels)
    found = _arguments.padded_spans(shape, kernels[2:], options, "input_shape")
    outputs = shape[0], kernels[0], *(each.outputs for each in found)
    return shape, outputs, tuple(each.start for each in found)


_kept_input_extents = kept(_input_extents)


def _weight_gradient(x, gradient, kernel_shape, options: Options, workers) -> NDArray:
    check_variable_once()
    workers = as_workers(workers)
    kernel = _arguments.as_counts(kernel_shape, "kernel_shape", options.axes)
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
