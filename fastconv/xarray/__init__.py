"""Convolutions of labelled arrays: `convolve` and `correlate` along named dimensions of a DataArray or a Dataset.

>>> import numpy as np
>>> import xarray as xr
>>> import fastconv.xarray
>>> sea = xr.DataArray(np.ones((4, 6)), {"lat": [10, 20, 30, 40]}, ("lat", "lon"), attrs={"units": "K"})
>>> found = fastconv.xarray.convolve(sea, np.ones((3, 3)), dims=("lat", "lon"), mode="valid")
>>> found.shape, found.lat.values.tolist(), found.attrs
((2, 4), [20, 30], {'units': 'K'})

Arrays that hold dask arrays are convolved lazily, by `fastconv.dask`. Names, attributes and coordinates are kept:

- Mode 'same' keeps them as they are, mode 'valid' those of the samples around which kernels lie, and a stride those of
  its results.
- Mode 'full' has results beyond the samples: coordinates along these dimensions are dropped, but that of a dimension
  itself is continued if it has equal steps.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv
from fastconv._model.arguments import as_array, as_choices
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.steps import as_steps
from fastconv._planning.sweeps import as_sweeps, each
from fastconv._runtime.lazy_modules import directory
from fastconv.convolution import Boundary, Method, Mode, Nan, Start

try:
    import xarray as xr

    from fastconv.xarray import _coordinates
except ImportError as error:
    raise ImportError(f"fastconv.xarray needs xarray: pip install 'fastconv[xarray]'; {error}") from error

__all__ = ["convolve", "correlate"]
__dir__ = directory(__name__)

Dims = Hashable | tuple[Hashable, ...] | None


def convolve(
    x: xr.DataArray | xr.Dataset,
    kernel: xr.DataArray | ArrayLike,
    dims: Dims = None,
    mode: Mode | tuple[Mode, ...] = "same",
    *,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    nan: Nan = "propagate",
    weights: xr.DataArray | ArrayLike | None = None,
    min_weight: float = 0.0,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> Any:
    """Convolve along named dimensions, as `fastconv.convolve` does along axes.

    Parameters
    ----------
    x : DataArray or Dataset
        The samples. Of a Dataset each variable that has `dims` is convolved, and those that have none of them are kept.
    kernel : DataArray or array_like
        The taps, with one dimension for each of `dims`; those of a DataArray are put in their order.
    dims : hashable or tuple of hashable, optional
        The dimensions to convolve along; by default those of the kernel, if that is a DataArray.
    mode : {'same', 'full', 'valid'}, or tuple of one for each of `dims`
        Which outputs to compute; by default 'same', where `fastconv.convolve` has 'full'.
    weights : DataArray or array_like, optional
        The weight of each sample. A DataArray may have some of the dimensions of `x`, with equal coordinates.
    boundary, fill_value, stride, dilation, start, method, check, workers : optional
        As in `fastconv.convolve`; a tuple has a value for each of `dims`.
    nan, min_weight, return_weight, normalize, missing_value : optional
        As in `fastconv.convolve`.

    Returns
    -------
    DataArray or Dataset
        The result, with the dimensions in the order of `x`; with `return_weight` also the known shares.

    Raises
    ------
    ValueError, TypeError
        As `fastconv.convolve`; and for `dims` that `x` does not have, and a variable of a Dataset that has some of them
        only.

    See Also
    --------
    correlate : The same without the flip.
    fastconv.convolve : Along axes of arrays.

    Examples
    --------
    >>> import xarray as xr
    >>> from fastconv.xarray import convolve
    >>> series = xr.DataArray([1, 2, 3, 4], {"t": [0.0, 0.5, 1.0, 1.5]}, ("t",))
    >>> convolve(series, [1, 1, 1], "t", "full").t.values
    array([-0.5,  0. ,  0.5,  1. ,  1.5,  2. ])
    """
    return _applied(
        "convolve", x, kernel, dims, mode, weights,
        boundary=boundary, fill_value=fill_value, stride=stride, dilation=dilation, start=start, method=method,
        check=check, workers=workers, nan=nan, min_weight=min_weight, return_weight=return_weight, normalize=normalize,
        missing_value=missing_value,
    )  # fmt: skip


def correlate(
    x: xr.DataArray | xr.Dataset,
    kernel: xr.DataArray | ArrayLike,
    dims: Dims = None,
    mode: Mode | tuple[Mode, ...] = "same",
    *,
    boundary: Boundary | tuple[Boundary, ...] = "zero",
    fill_value: complex = 0,
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    start: Start | tuple[Start, ...] = None,
    method: Method = "auto",
    check: bool = True,
    workers: int | None = None,
    nan: Nan = "propagate",
    weights: xr.DataArray | ArrayLike | None = None,
    min_weight: float = 0.0,
    return_weight: bool = False,
    normalize: bool = True,
    missing_value: complex | None = None,
) -> Any:
    """Correlate along named dimensions: `convolve` with the kernel conjugated and not flipped.

    Parameters
    ----------
    x : DataArray or Dataset
        The samples.
    kernel : DataArray or array_like
        The taps.
    dims : hashable or tuple of hashable, optional
        The dimensions to correlate along.
    mode : {'same', 'full', 'valid'}, or tuple of one for each of `dims`
        Which outputs to compute.
    boundary, fill_value, stride, dilation, start, method, check, workers : optional
        As in `convolve`.
    nan, weights, min_weight, return_weight, normalize, missing_value : optional
        As in `convolve`.

    Returns
    -------
    DataArray or Dataset
        The result, as from `convolve`.

    Raises
    ------
    ValueError, TypeError
        As `convolve`.

    See Also
    --------
    convolve : The same with the flip.
    fastconv.correlate : Along axes of arrays.

    Examples
    --------
    >>> import xarray as xr
    >>> from fastconv.xarray import correlate
    >>> series = xr.DataArray([0, 1, 2, 4], {"t": [1, 2, 3, 4]}, ("t",))
    >>> correlate(series, [-1, 1], "t", "valid").values
    array([1, 1, 2])
    """
    return _applied(
        "correlate", x, kernel, dims, mode, weights,
        boundary=boundary, fill_value=fill_value, stride=stride, dilation=dilation, start=start, method=method,
        check=check, workers=workers, nan=nan, min_weight=min_weight, return_weight=return_weight, normalize=normalize,
        missing_value=missing_value,
    )  # fmt: skip


def _applied(name: str, x: Any, kernel: Any, dims: Any, mode: Any, weights: Any, **options: Any) -> Any:
    """Apply a function of `fastconv` to an array, or to the variables of a dataset."""
    if not isinstance(x, (xr.DataArray, xr.Dataset)):
        raise TypeError(f"x must be a DataArray or a Dataset; got {clipped(type(x).__name__)}")
    dims = _as_dims(dims, kernel, x)
    kernel = _as_kernel(kernel, dims)
    if isinstance(x, xr.DataArray):
        return _of_array(name, x, kernel, dims, mode, weights, options)
    chosen = [key for key, variable in x.data_vars.items() if {*dims} & {*variable.dims}]
    for key in chosen:
        if not {*dims} <= {*x[key].dims}:
            raise ValueError(
                f"x must have variables with all of dims {shown(dims)}, or none of them; {shown(key)} has "
                f"{shown(x[key].dims)}"
            )
    results = {key: _of_array(name, x[key], kernel, dims, mode, weights, options) for key in chosen}
    values, shares = results, {}
    if options["return_weight"]:
        values, shares = ({key: both[number] for key, both in results.items()} for number in range(2))
    variables = {key: values.get(key, variable.variable) for key, variable in x.data_vars.items()}
    found = xr.Dataset(variables, _coordinates_of(x, kernel, dims, mode, options), x.attrs)
    return (found, xr.Dataset(shares)) if options["return_weight"] else found


def _coordinates_of(
    x: xr.DataArray | xr.Dataset, kernel: np.ndarray, dims: tuple[Hashable, ...], mode: Any, options: dict[str, Any]
) -> dict[Hashable, Any]:
    """The coordinates of the results."""
    count = len(dims)
    steps = as_steps(options["stride"], options["dilation"], options["start"], None, count)
    mode, boundary, _ = as_choices(mode, options["boundary"], options["method"], count)
    shape = tuple(x.sizes[dim] for dim in dims)
    sweeps = as_sweeps(shape, kernel.shape, tuple(range(count)), mode, boundary, steps)
    places = {dim: _coordinates.positions(sweep, one) for dim, sweep, one in zip(dims, sweeps, each(mode, count))}
    return _coordinates.of_result(x, places)


def _of_array(
    name: str, x: xr.DataArray, kernel: np.ndarray, dims: tuple, mode: Any, weights: Any, options: dict[str, Any]
) -> Any:
    axes = x.get_axis_num(dims)
    if isinstance(weights, xr.DataArray):
        if not {*weights.dims} <= {*x.dims}:
            raise ValueError(f"weights must have dimensions of x, {shown(x.dims)}; got {shown(weights.dims)}")
        xr.align(x, weights, join="exact", copy=False)
        weights = weights.expand_dims([dim for dim in x.dims if dim not in weights.dims]).transpose(*x.dims).data
    library: Any = fastconv
    if x.chunks is not None:
        from fastconv import dask

        library = dask
    result = getattr(library, name)(x.data, kernel, mode, axes=axes, weights=weights, **options)
    coordinates = _coordinates_of(x, kernel, dims, mode, options)
    values, *shares = result if options["return_weight"] else (result,)
    answer = xr.DataArray(values, coordinates, x.dims, x.name, x.attrs)
    return (answer, *(xr.DataArray(share, coordinates, x.dims, x.name) for share in shares)) if shares else answer


def _as_dims(dims: Any, kernel: Any, x: Any) -> tuple[Hashable, ...]:
    """Check the dimensions to convolve along."""
    if dims is None:
        if not isinstance(kernel, xr.DataArray):
            raise TypeError("dims must name dimensions of x, unless the kernel is a DataArray; got None")
        dims = kernel.dims
    found = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    hashable = all(isinstance(dim, Hashable) for dim in found)
    if not (found and hashable and len({*found}) == len(found) and {*found} <= {*x.dims}):
        raise ValueError(f"dims must be different dimensions of x, {shown(tuple(x.dims))}; got {shown(dims)}")
    return found


def _as_kernel(kernel: Any, dims: tuple[Hashable, ...]) -> np.ndarray:
    """The taps, with an axis for each of `dims`."""
    if isinstance(kernel, xr.DataArray):
        if {*kernel.dims} != {*dims}:
            raise ValueError(f"kernel must have the dimensions {shown(dims)}; got {shown(kernel.dims)}")
        kernel = kernel.transpose(*dims).data
    found = as_array(kernel, "kernel")
    if found.ndim != len(dims):
        raise ValueError(f"kernel must have one dimension for each of dims, {shown(dims)}; got shape {found.shape}")
    return found
