"""Drop-in replacements for filters of `dask_image.ndfilters`: lazy filters of dask arrays with SciPy's results.

Each chunk of the result has the results of `fastconv.compat.ndimage`, with the bits that these have: those of
`scipy.ndimage` for the whole array, but for more than 128 weights, and `uniform_filter` of floats, which agree to
rounding. Needs dask; other names are looked up in dask-image.

Differences from the original:

- The boundary is that of the array in every mode, also for chunks smaller than the kernel, which are not changed.
- `mode` "wrap" of `gaussian_filter` and others wraps around the array; the original mirrors its chunks at its ends.
- The dtype of the lazy array is that of its chunks: that of a result of complex weights is complex.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from fastconv._model.message_formatting import shown
from fastconv.compat import ndimage
from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat._unsupported import Unsupported
from fastconv.compat.ndimage._arguments import as_boundary, as_sequence
from fastconv.dask._graph import lazy
from fastconv.dask._parts import Local
from fastconv.dask._sources import as_source

__all__ = [
    "convolve",
    "correlate",
    "gaussian",
    "gaussian_filter",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
]

__getattr__, __dir__ = completed(__name__, "dask_image.ndfilters")
is_native = nativeness(__name__)


def convolve(image, weights, mode="reflect", cval=0.0, origin=0) -> Any:
    """Convolve along all axes, as `dask_image.ndfilters.convolve`.

    Parameters
    ----------
    image : dask array
        The samples.
    weights : array_like
        The weights, of as many dimensions.
    mode : str, default "reflect"
        How the array continues outside, as in `scipy.ndimage.convolve`.
    cval : scalar, default 0.0
        The value outside in mode "constant".
    origin : int or sequence of int, default 0
        How far the kernel is moved, or one number for each axis.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called; and for what `scipy.ndimage.convolve` refuses, also then.

    See Also
    --------
    correlate : The same without the flip.
    fastconv.dask.convolve : With more options.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> convolve(da.arange(6, chunks=2), np.array([1, 0, 0]), mode="nearest").compute()
    array([1, 2, 3, 4, 5, 5])
    """
    return _weighted("convolve", image, weights, mode, cval, origin)


def correlate(image, weights, mode="reflect", cval=0.0, origin=0) -> Any:
    """Correlate along all axes, as `dask_image.ndfilters.correlate`: `convolve` without the flip.

    Parameters
    ----------
    image, weights, mode, cval, origin : see there
        As in `convolve`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `convolve`.

    See Also
    --------
    convolve : The same with the kernel flipped.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> correlate(da.arange(6, chunks=2), np.array([1, 0, 0]), mode="nearest").compute()
    array([0, 0, 1, 2, 3, 4])
    """
    return _weighted("correlate", image, weights, mode, cval, origin)


def gaussian_filter(image, sigma, order=0, mode="reflect", cval=0.0, truncate=4.0) -> Any:
    """Gaussian filter, as `dask_image.ndfilters.gaussian_filter`.

    Parameters
    ----------
    image : dask array
        The samples.
    sigma : float or sequence of float
        The standard deviation in samples, or that of each axis.
    order : int or sequence of int, default 0
        The derivative to take, or that along each axis.
    mode, cval : optional
        How the array continues outside, as in `convolve`.
    truncate : float, default 4.0
        The reach of the Gaussian, in standard deviations.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    fastconv.dask.gaussian_blur : With more options.
    fastconv.compat.ndimage.gaussian_filter : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.gaussian_filter(da.arange(0, 40, 10, chunks=2), 1).compute()
    array([ 4, 10, 19, 25])
    """
    options = {"order": order, "mode": mode, "cval": cval, "truncate": truncate}
    return _of_gaussians("gaussian_filter", image, sigma, options)


def gaussian(image, sigma, order=0, mode="reflect", cval=0.0, truncate=4.0) -> Any:
    """The same as `gaussian_filter`.

    Parameters
    ----------
    image, sigma, order, mode, cval, truncate : see there
        As in `gaussian_filter`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    gaussian_filter : The same.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.gaussian(da.arange(0, 40, 10, chunks=2), 1).compute()
    array([ 4, 10, 19, 25])
    """
    return gaussian_filter(image, sigma, order, mode, cval, truncate)


def gaussian_gradient_magnitude(image, sigma, mode="reflect", cval=0.0, truncate=4.0, **kwargs) -> Any:
    """Magnitude of the gradient by Gaussian derivatives, as `dask_image.ndfilters.gaussian_gradient_magnitude`.

    Parameters
    ----------
    image : dask array
        The samples.
    sigma : float or sequence of float
        The standard deviation in samples, or that of each axis.
    mode, cval : optional
        How the array continues outside, as in `convolve`.
    truncate : float, default 4.0
        The reach of the Gaussian, in standard deviations.
    **kwargs
        Passed on to `gaussian_filter`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    gaussian_laplace : Second derivatives.
    fastconv.compat.ndimage.gaussian_gradient_magnitude : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.gaussian_gradient_magnitude(da.arange(0.0, 8, chunks=4), 1).round(2).compute()
    array([0.36, 0.85, 0.99, 1.  , 1.  , 0.99, 0.85, 0.36])
    """
    options = {"mode": mode, "cval": cval, "truncate": truncate, **kwargs}
    return _of_gaussians("gaussian_gradient_magnitude", image, sigma, options)


def gaussian_laplace(image, sigma, mode="reflect", cval=0.0, truncate=4.0, **kwargs) -> Any:
    """Laplacian by Gaussian second derivatives, as `dask_image.ndfilters.gaussian_laplace`.

    Parameters
    ----------
    image : dask array
        The samples.
    sigma : float or sequence of float
        The standard deviation in samples, or that of each axis.
    mode, cval : optional
        How the array continues outside, as in `convolve`.
    truncate : float, default 4.0
        The reach of the Gaussian, in standard deviations.
    **kwargs
        Passed on to `gaussian_filter`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    laplace : By differences.
    fastconv.compat.ndimage.gaussian_laplace : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.gaussian_laplace(da.arange(0.0, 8, chunks=4) ** 2, 1).round(2).compute()
    array([ 1.32,  1.72,  1.96,  2.  ,  1.97,  1.37, -2.18, -8.16])
    """
    return _of_gaussians("gaussian_laplace", image, sigma, {"mode": mode, "cval": cval, "truncate": truncate, **kwargs})


def laplace(image, mode="reflect", cval=0.0) -> Any:
    """Laplacian by second differences, as `dask_image.ndfilters.laplace`.

    Parameters
    ----------
    image : dask array
        The samples.
    mode, cval : optional
        How the array continues outside, as in `convolve`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    gaussian_laplace : Of a blurred array.
    fastconv.compat.ndimage.laplace : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.laplace(da.arange(6, chunks=3) ** 2).compute()
    array([ 1,  2,  2,  2,  2, -9])
    """
    return _filtered("laplace", image, [(1, 1)] * _ndim(image), {"mode": mode, "cval": cval})


def prewitt(image, axis=-1, mode="reflect", cval=0.0) -> Any:
    """Prewitt filter, as `dask_image.ndfilters.prewitt`.

    Parameters
    ----------
    image : dask array
        The samples.
    axis : int, default -1
        The axis of the differences.
    mode, cval : optional
        How the array continues outside, as in `convolve`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    sobel : With other weights.
    fastconv.compat.ndimage.prewitt : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.prewitt(da.arange(6, chunks=3) ** 2).compute()
    array([ 1,  4,  8, 12, 16,  9])
    """
    return _difference("prewitt", image, axis, mode, cval)


def sobel(image, axis=-1, mode="reflect", cval=0.0) -> Any:
    """Sobel filter, as `dask_image.ndfilters.sobel`.

    Parameters
    ----------
    image : dask array
        The samples.
    axis : int, default -1
        The axis of the differences.
    mode, cval : optional
        How the array continues outside, as in `convolve`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    prewitt : With other weights.
    fastconv.compat.ndimage.sobel : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.sobel(da.eye(3, chunks=2)).compute()
    array([[-2., -3., -1.],
           [ 1.,  0., -1.],
           [ 1.,  3.,  2.]])
    """
    return _difference("sobel", image, axis, mode, cval)


def uniform_filter(image, size=3, mode="reflect", cval=0.0, origin=0) -> Any:
    """Mean of a box, as `dask_image.ndfilters.uniform_filter`.

    Parameters
    ----------
    image : dask array
        The samples.
    size : int or sequence of int, default 3
        The extent of the box, or that along each axis.
    mode, cval, origin : optional
        As in `convolve`.

    Returns
    -------
    dask array
        Of the shape and the chunks of `image`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As the original, when it is called.

    See Also
    --------
    fastconv.compat.ndimage.uniform_filter : The same for arrays in memory.

    Examples
    --------
    >>> import dask.array as da
    >>> from fastconv.compat import dask_image
    >>> dask_image.uniform_filter(da.arange(0, 60, 10, chunks=3)).compute()
    array([ 3, 10, 20, 30, 40, 46])
    """
    ndim = _ndim(image)
    sizes = np.array(ndim * (size,) if isinstance(size, numbers.Number) else size)
    if sizes.ndim != 1 or len(sizes) != ndim:
        raise RuntimeError(f"size must be one number, or one for each of {ndim} axes; got {shown(size)}")
    if not issubclass(sizes.dtype.type, np.integer):
        raise TypeError(f"size must hold integers; got {shown(size)}")
    extents = sizes.tolist()
    origins = _as_origins(origin, extents)
    reach = [(extent // 2 + first, (extent - 1) // 2 - first) for extent, first in zip(extents, origins)]
    options = {"size": extents, "mode": mode, "cval": cval, "origin": origins}
    return _filtered("uniform_filter", image, reach, options)


def _ndim(image: Any) -> int:
    """The number of dimensions of a dask array; the original takes arrays of other libraries."""
    try:
        return len(as_source(image, "image").shape)
    except TypeError as error:
        raise Unsupported(str(error)) from None


def _as_origins(origin: Any, sizes: list[int]) -> list[int]:
    """Check the origin, or one for each axis, with the errors of the original."""
    origins = np.array(len(sizes) * (origin,) if isinstance(origin, numbers.Number) else origin)
    if not issubclass(origins.dtype.type, np.integer):
        raise TypeError(f"origin must hold integers; got {shown(origin)}")
    if origins.ndim != 1 or len(origins) != len(sizes):
        raise RuntimeError(f"origin must be one number, or one for each of {len(sizes)} axes; got {shown(origin)}")
    for own, size in zip(origins.tolist(), sizes):
        if not -(size // 2) <= own < (size + 1) // 2:
            raise ValueError(f"origin must lie within the weights, of sizes {sizes}; got {shown(origin)}")
    return origins.tolist()


def _weighted(name: str, image: Any, weights: Any, mode: Any, cval: Any, origin: Any) -> Any:
    """Convolve or correlate with weights."""
    ndim, weights = _ndim(image), np.asarray(weights)
    if weights.ndim != ndim or weights.size == 0:
        raise ValueError(f"weights must have {ndim} dimensions, and not be empty; got shape {weights.shape}")
    origins = _as_origins(origin, list(weights.shape))
    reach = []
    for taps, own in zip(weights.shape, origins):
        before = taps // 2 + own if name == "correlate" else (taps - 1) // 2 - own
        reach.append((before, taps - 1 - before))
    return _filtered(name, image, reach, {"mode": mode, "cval": cval, "origin": origins}, weights)


def _of_gaussians(name: str, image: Any, sigma: Any, options: dict[str, Any]) -> Any:
    """Apply filters of Gaussians, and of their derivatives."""
    ndim, sigmas = _ndim(image), np.array(sigma)
    sigmas = np.full(ndim, sigmas) if sigmas.ndim == 0 else sigmas
    if sigmas.ndim != 1 or len(sigmas) != ndim:
        raise RuntimeError(f"sigma must be one number, or one for each of {ndim} axes; got {shown(sigma)}")
    if not issubclass(sigmas.dtype.type, numbers.Real):
        raise TypeError(f"sigma must hold real numbers; got {shown(sigma)}")
    truncate = options["truncate"]
    if not isinstance(truncate, numbers.Real):
        raise TypeError(f"truncate must be a real number; got {shown(truncate)}")
    spans = [max(0, math.ceil(float(truncate) * own)) for own in sigmas.tolist()]  # at least those of SciPy
    return _filtered(name, image, [(span, span) for span in spans], {"sigma": sigmas.tolist(), **options})


def _difference(name: str, image: Any, axis: Any, mode: Any, cval: Any) -> Any:
    """Differences along an axis of sums along the others."""
    ndim = _ndim(image)
    if not isinstance(axis, numbers.Integral) or not -ndim <= int(axis) < ndim:
        raise ValueError(f"axis must be an integer in {-ndim} .. {ndim - 1}; got {shown(axis)}")
    return _filtered(name, image, [(1, 1)] * ndim, {"axis": int(axis), "mode": mode, "cval": cval})


def _filtered(
    name: str, image: Any, reach: list[tuple[int, int]], options: dict[str, Any], weights: np.ndarray | None = None
) -> Any:
    """Apply a filter of `fastconv.compat.ndimage` to each chunk and the samples that it reaches."""
    source, function = as_source(image, "image"), getattr(ndimage, name)
    boundaries = [as_boundary(mode) for mode in as_sequence(options["mode"], len(source.shape), "mode")]
    # All that SciPy refuses, and the dtype of the results, show with one sample.
    kernels = () if weights is None else (weights,)
    dtype = function(np.ones((1,) * len(source.shape), source.dtype), *kernels, **options).dtype
    work = Local(function, source.shape, dtype, reach, boundaries, weights, options)
    return lazy(source, work, (f"ndfilters.{name}", weights, sorted(options.items())))
