"""Plans of layers: weights packed once, for many batches."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._model.arguments import as_dtype, as_workers
from fastconv._model.message_formatting import clipped
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import converted
from fastconv.convolution import Boundary
from fastconv.layers import _arguments
from fastconv.layers._arguments import Options, as_options
from fastconv.layers._convolution import Activation, Layout, Padding, run


class LayerPlan:
    """A prepared 2-D layer, made by `plan2d`: call it with one batch after the other, of any sizes.

    It is immutable, may be called from several threads at once, and can be pickled.

    Attributes
    ----------
    x_dtype : dtype
        The dtype of the batches it takes.
    dtype : dtype
        The dtype of the results.
    nbytes : int
        The bytes it holds: weights, bias, and the packed ones once it has been called.

    See Also
    --------
    plan2d : Make a plan.
    """

    x_dtype: np.dtype
    dtype: np.dtype
    _weights: Weights
    _options: Options
    _workers: int | None

    def __init__(self, weights: Weights, options: Options, x_dtype: np.dtype, dtype: np.dtype, workers: int | None):
        vars(self).update(_weights=weights, _options=options, x_dtype=x_dtype, dtype=dtype, _workers=workers)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a plan cannot be changed, so {name} cannot be set; make another with plan2d")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a plan cannot be changed, so {name} cannot be deleted")

    def __copy__(self) -> LayerPlan:
        return self

    def __deepcopy__(self, memo: object) -> LayerPlan:
        return self

    def __reduce__(self) -> tuple:
        array, bias = self._weights.array, self._weights.bias
        # The dtype is passed on its own: NumPy's pickles of arrays lose the byte order.
        return _unpickled, (array, array.dtype, bias, tuple(self._options), self.x_dtype, self.dtype, self._workers)

    @property
    def nbytes(self) -> int:
        return self._weights.nbytes

    def __call__(self, x: ArrayLike, out: NDArray | None = None) -> NDArray:
        """Apply the layer to a batch of images, or to one.

        Parameters
        ----------
        x : array_like of `x_dtype`, shape (N, C, H, W), or (N, H, W, C) with channels last; ``N`` may be missing
            An array of the other byte order is accepted, and copied.
        out : ndarray, optional
            The array to write the result to, as in `conv2d`.

        Returns
        -------
        ndarray
            `out`, or a new array.

        Raises
        ------
        ValueError, TypeError
            As `conv2d`; and if `x` does not have the dtype of the plan.

        See Also
        --------
        plan2d : Makes plans.

        Examples
        --------
        >>> from fastconv import layers
        >>> layer = layers.plan2d([[[[1, -1]]]], activation="relu")
        >>> layer([[[1, 3, 2]]])
        array([[[0, 1]]])
        """
        batch, single = _arguments.as_batch(x, self._options)
        _pins = pinned(batch)
        if batch.dtype != self.x_dtype:
            if batch.dtype.newbyteorder("=") != self.x_dtype.newbyteorder("="):
                raise ValueError(
                    f"x must have dtype {self.x_dtype}, which the plan was made for; got {clipped(batch.dtype)}"
                )
            batch = converted(batch, self.x_dtype)
        _arguments.check_channels(batch, self._weights.array, self._options.groups)
        return run(self._weights, batch, single, self._options, self.dtype, self._workers, out)

    def __repr__(self) -> str:
        options, array = self._options, self._weights.array
        order = "channels last" if options.channels_last else "channels first"
        return (
            f"<fastconv.layers.plan2d: {self.x_dtype} of {array.shape[1] * options.groups} channels by {array.shape} "
            f"{array.dtype}, stride {options.stride}, padding {options.padding}, dilation {options.dilation}, "
            f"groups {options.groups}, {order}, to {self.dtype}>"
        )


def _unpickled(array, array_dtype, bias, options, x_dtype, dtype, workers) -> LayerPlan:
    weights = Weights(array.astype(array_dtype, copy=False), bias)
    return LayerPlan(weights, Options(*options), x_dtype, dtype, workers)


def plan2d(
    weights: ArrayLike,
    bias: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
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
) -> LayerPlan:
    """Prepare a 2-D layer: its weights are packed at the first call, for all batches.

    The plan returns what `conv2d` returns for the same arguments.

    Parameters
    ----------
    weights : array_like, shape (O, C / groups, kH, kW)
        The kernels. They are copied.
    bias : array_like, shape (O,), optional
        Added to each output channel. It is copied.
    dtype : dtype, optional
        The dtype of the batches. By default that of `weights`.
    stride, padding, dilation, groups, padding_mode, fill_value, layout, activation, workers : optional
        As in `conv2d`.

    Returns
    -------
    LayerPlan
        A callable that takes batches of any size.

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    See Also
    --------
    conv2d : The same for one batch.
    fastconv.plan : Prepare a convolution.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.plan2d(np.ones((8, 3, 3, 3), np.float32), padding="same", activation="relu")
    >>> [layer(np.ones((n, 3, 32, 32), np.float32)).shape for n in (1, 64)]
    [(1, 8, 32, 32), (64, 8, 32, 32)]
    """
    check_variable_once()
    workers = as_workers(workers)
    options = as_options(2, stride, padding, dilation, groups, padding_mode, fill_value, layout, activation)
    given = _arguments.as_weights(weights, 2)
    _pins = pinned(given)
    kernels = given.copy()
    x_dtype = kernels.dtype.newbyteorder("=") if dtype is None else as_dtype(dtype)
    if x_dtype.kind not in "biufc":
        raise TypeError(f"dtype must be a type of numbers; got {clipped(x_dtype)}")
    options, result = _arguments.as_filled(options, x_dtype, kernels.dtype)
    _arguments.as_groups(kernels, options.groups)
    return LayerPlan(
        Weights(kernels, _arguments.as_bias(bias, kernels.shape[0], result)), options, x_dtype, result, workers
    )
