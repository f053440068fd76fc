"""Drop-in replacements for filters of `scipy.ndimage`: same arguments, results, types and errors.

Sums are taken in double, and the result has the type of the input unless `output` says otherwise: integers truncate
toward zero and wrap. Integers are those of SciPy, and so is every bit of a float that is summed along lines
(`correlate1d`, `convolve1d`, Gaussians and all derivatives), and by `correlate` and `convolve` with up to 128 weights:
the same sums in the same order, symmetric taps in pairs, each product and each pass rounded. That is SciPy as built for
x86-64; builds for aarch64 fuse products and sums, and there floats agree to rounding, as do averages and sums of more
weights everywhere.

With ``bits=False`` floats agree to rounding: products are fused, large kernels go by way of a Fourier transform, and
sums are in single precision if input and result are. That pays (see MIGRATING.md) for large Gaussians, for float32, and
for Gaussians along three and more axes, which are then computed in one pass over the array, as averages always are.
One thing is better, and no program should rely on the original's:

- Where `output` shares memory with `input`, the original samples are filtered. SciPy's `laplace`, `gaussian_laplace`
  and `gaussian_gradient_magnitude` take the derivative along the second axis of samples that were already overwritten,
  and its 1-D filters read lines that they have written if arrays overlap in part.

Faults of SciPy that are not copied:

- An infinity or a NaN in a float result of `uniform_filter` and `uniform_filter1d` affects only the windows that
  contain it. SciPy's running sums carry it, and the rounding errors of large samples, to the end of the line.
- A bool result holds 0 and 1. SciPy stores other bytes in it.
- Beyond a border that a kernel several times as long as the array reaches, `correlate` and `convolve` continue the
  array as all other functions do. SciPy's reflections are wrong there.

A fault that is copied:

- In filters of several passes, `cval` is outside the input of each pass, also if that is the result of another pass.
  So an input that is `cval` everywhere, other than 0, has derivatives at its edges. Of ``np.ones((9, 9))``,
  ``gaussian_filter`` with a sigma of 1, ``mode="constant"`` and ``cval=1.0`` gives 0 for ``order=(0, 1)``, and up to
  0.3 for ``order=(1, 0)``. The same holds for `gaussian_laplace`, `sobel` and `prewitt`.

All arguments of the originals are supported, so nothing raises `Unsupported`; arrays of other libraries are converted
to NumPy's.

The conversion of sums beyond 32 bits (64 for types of 32 and 64 bits) to integers is undefined in C, and here.
Negative sums wrap in unsigned types on every processor, as in SciPy's builds for x86; those for aarch64 wrap some and
turn others into 0, depending on the function, the type and the place in the array.
"""

from __future__ import annotations

import numbers

import numpy as np
from numpy.typing import NDArray

from fastconv._model.arguments import as_bool, plain_array
from fastconv._model.message_formatting import shown
from fastconv._planning.ndimage import scipy_order
from fastconv._planning.ndimage.nd_correlation import Filter, blocks, is_apart
from fastconv._planning.ndimage.nd_correlation import correlate as correlate_nd
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import chunk_slices, is_finite
from fastconv._runtime.memory_maps import may_share_memory
from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat.ndimage._arguments import (
    as_axes,
    as_axis,
    as_boundary,
    as_fill,
    as_first,
    as_float,
    as_index,
    as_output,
    as_sequence,
    check_output,
    check_real,
    check_type,
    is_iterable,
    writable,
)
from fastconv.compat.ndimage._derivatives import generic_gradient_magnitude, generic_laplace
from fastconv.compat.ndimage._passes import Pass, add_up, as_computed, assign, average, fast_sums, run, store
from fastconv.compat.ndimage._truncation import correlate_whole

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]
__getattr__, __dir__ = completed(__name__, "scipy.ndimage")
is_native = nativeness(__name__)

_DOUBLE = np.dtype(np.float64)
_COMPLEX = np.dtype(np.complex128)
# Weights of at most this magnitude are left out.
_EPS = 2.0**-52


# ------------------------------------------------------------------------------------------------- any weights


def correlate(input, weights, output=None, mode="reflect", cval=0.0, origin=0, *, axes=None, bits=True) -> NDArray:
    """Correlate along any number of axes.

    Parameters
    ----------
    input : array_like
        Bools, integers, floats or complex numbers of 32 or 64 bits per part.
    weights : array_like
        One dimension for each of `axes`. NaNs and weights of at most 2.2e-16 are left out; complex ones are conjugated.
    output : array or dtype, optional
        Array for the result, or its type; by default that of `input`.
    mode : str, default "reflect"
        The samples outside: 'reflect' or 'grid-mirror', 'constant' or 'grid-constant', 'nearest', 'mirror', 'wrap' or
        'grid-wrap'.
    cval : number, default 0
        The value outside with 'constant'.
    origin : int or sequence of int, default 0
        Shift of the middle of the weights to the right in samples, along each of `axes`: from ``-(M // 2)`` to
        ``(M - 1) // 2`` for ``M`` weights.
    axes : int or sequence of int, optional
        All by default.
    bits : bool, default True
        Whether floats have SciPy's bits with up to 128 weights; if not, they agree to rounding, in single precision if
        input and result have that.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError
        For an unknown `mode`, empty weights or weights of another number of dimensions, unsupported types, and an
        `output` of another shape or of a real type for a complex result.
    ValueError
        For an invalid `origin` or `axes`, and a read-only `output`.
    TypeError
        For a `cval` that is not a number, or complex with a real `input`, and an `origin` that is not an integer.

    See Also
    --------
    fastconv.correlate : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import correlate
    >>> correlate([1, 2, 3, 4], [1, 10, 100])
    array([211, 321, 432, 443])
    """
    return _correlate(input, weights, output, mode, cval, origin, axes, False, bits)


def convolve(input, weights, output=None, mode="reflect", cval=0.0, origin=0, *, axes=None, bits=True) -> NDArray:
    """Convolve along any number of axes.

    Parameters
    ----------
    input, weights : array_like
        As in `correlate`, but weights are reversed, not conjugated, and `origin` shifts them the other way.
    output, mode, cval, origin, axes, bits : optional
        As in `correlate`, but weights are reversed, not conjugated, and `origin` shifts them the other way.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import convolve
    >>> convolve([1, 2, 3, 4], [1, 10, 100])
    array([112, 123, 234, 344])
    >>> convolve([1, 2, 3, 4], [.5, .5, .5], mode="constant")
    array([1, 3, 4, 3])
    """
    return _correlate(input, weights, output, mode, cval, origin, axes, True, bits)


def correlate1d(input, weights, axis=-1, output=None, mode="reflect", cval=0.0, origin=0, *, bits=True) -> NDArray:
    """Correlate along one axis.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, mode, cval : optional
        As in `correlate`.
    weights : array_like
        In one dimension.
    axis : int, default -1
        The axis to filter along.
    origin : int, default 0
        As in `correlate`.
    bits : bool, default True
        Whether floats have SciPy's bits; if not, they agree to rounding, in single precision if input and result have
        that.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`; ``numpy.exceptions.AxisError``, which is a ValueError, for a bad `axis`.

    See Also
    --------
    fastconv.correlate1d : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import correlate1d
    >>> correlate1d([2, 8, 0, 4, 1], [1, 3], mode="nearest")
    array([ 8, 26,  8, 12,  7])
    """
    weights = plain_array(weights, "weights").view()
    return _correlate1d(input, weights, axis, output, mode, cval, origin, True, bits)


def convolve1d(input, weights, axis=-1, output=None, mode="reflect", cval=0.0, origin=0, *, bits=True) -> NDArray:
    """Convolve along one axis.

    Parameters
    ----------
    input, weights : array_like
        As in `correlate1d`, but weights are reversed, not conjugated, and `origin` shifts them the other way.
    axis, output, mode, cval, origin, bits : optional
        As in `correlate1d`, but weights are reversed, not conjugated, and `origin` shifts them the other way.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate1d`.

    See Also
    --------
    fastconv.convolve1d : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import convolve1d
    >>> convolve1d([2, 8, 0, 4, 1], [1, 3])
    array([14, 24,  4, 13,  4])
    """
    weights = plain_array(weights, "weights").view()
    if weights.ndim:
        weights = weights[::-1]
    return _correlate1d(input, weights, axis, output, mode, cval, _mirrored(origin, weights.size), False, bits)


def _mirrored(origin, taps: int) -> int:
    """Return the origin of the correlation with reversed weights."""
    return -as_index(origin, "origin") - (taps % 2 == 0)


def _correlate1d(input, weights, axis, output, mode, cval, origin, conjugate, bits) -> NDArray:
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    is_complex = x.dtype.kind == "c" or weights.dtype.kind == "c"
    out = as_output(output, x, is_complex, depth=2)
    check_real(cval, x, weights)
    if weights.ndim != 1 or not weights.size:
        raise RuntimeError(f"weights must be some numbers in one dimension; got shape {weights.shape}")
    weights = _as_weights(weights, conjugate)
    axis = as_axis(axis, x.ndim)
    first = as_first(origin, weights.size)
    boundary, fill_value = as_fill(as_boundary(mode), cval, x.dtype.kind == "c")
    check_type(x.dtype, "input")
    check_type(out.dtype, "output")

    def fill_real(x, weights, value, out):
        run(x, [Pass(axis, weights, first, boundary, value)], out, bits)

    if weights.dtype == _DOUBLE:
        fill_real(x, weights, fill_value, out)
    else:
        _fill_by_parts(fill_real, x, weights, fill_value, writable(out, x.shape))
    return out


def _fill_by_parts(fill_real, x: np.ndarray, weights: np.ndarray, value: complex, out: np.ndarray) -> None:
    """Compute a correlation of complex numbers by real ones, as SciPy does.

    Where input and weights are complex, two of four sums are rounded to the type of the samples first.
    ``fill_real(x, weights, fill_value, out)`` computes one of them.
    """
    x = x.copy() if may_share_memory(x, out) else x
    if weights.dtype == _DOUBLE:
        fill_real(x.real, weights, value.real, out.real)
        fill_real(x.imag, weights, value.imag, out.imag)
        return
    real, imag = (np.ascontiguousarray(part).reshape(weights.shape) for part in (weights.real, weights.imag))
    fill_real(x.real, real, value.real, out.real)
    fill_real(x.real, imag, value.real, out.imag)
    if x.dtype.kind != "c":
        return
    part = np.empty(x.shape, x.real.dtype.newbyteorder("="))
    for weights, combine, target in ((imag, np.subtract, out.real), (real, np.add, out.imag)):
        fill_real(x.imag, weights, value.imag, part)
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(x.shape):
                combine(target[chunk], part[chunk], out=target[chunk], casting="same_kind")


def _correlate(input, weights, output, mode, cval, origin, axes, convolution, bits) -> NDArray:
    bits = as_bool(bits, "bits")
    x, weights = plain_array(input, "input"), plain_array(weights, "weights")
    x, weights = x.view(), weights.view()
    is_complex = x.dtype.kind == "c" or weights.dtype.kind == "c"
    if is_complex:
        output = as_output(output, x, is_complex, depth=2)
        check_real(cval, x, weights)
    # As in SciPy: weights belong to axes in the order of the array, and so do origins if there is one for each.
    given = as_axes(axes, x.ndim)
    axes = tuple(sorted(given))
    if weights.ndim != len(axes) or not weights.size:
        raise RuntimeError(
            f"weights.ndim ({weights.ndim}) must match len(axes) ({len(axes)}), and weights must not be empty; "
            f"got shape {weights.shape}"
        )
    origins = as_sequence(origin, len(axes), "origin")
    if len(given) < x.ndim:
        origins = [origins[given.index(axis)] for axis in axes]
    if convolution:
        weights = np.asarray(np.flip(weights))  # which makes an element of an array without dimensions
        origins = [_mirrored(origin, extent) for origin, extent in zip(origins, weights.shape)]
    firsts = tuple(map(as_first, origins, weights.shape))
    weights = _as_weights(weights, not convolution)
    out = output if is_complex else as_output(output, x)
    if not isinstance(mode, str) and is_iterable(mode, "mode"):
        raise RuntimeError(f"mode must be one for all axes; got {shown(mode)}")
    boundary, fill_value = as_fill(as_boundary(mode), cval, x.dtype.kind == "c")
    check_type(x.dtype, "input")
    check_type(out.dtype, "output")
    if out.dtype.kind == "c" and not is_complex:
        check_output(out, x)
    target = writable(out, x.shape)
    if x.ndim == 0:
        x, target, weights, axes, firsts = x.reshape(1), target.reshape(1), weights.reshape(1), (0,), (0,)

    def fill_real(x, weights, value, out):
        _fill(x, Filter(_without_small(weights), axes, firsts, boundary, value), out, bits)

    if is_complex:
        _fill_by_parts(fill_real, x, weights, fill_value, target)
    else:
        fill_real(x, weights, fill_value, target)
    return out


def _as_weights(weights: np.ndarray, conjugate: bool) -> np.ndarray:
    """Convert weights to float64 or complex128."""
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        if weights.dtype.kind != "c":
            return np.ascontiguousarray(weights, _DOUBLE).reshape(weights.shape)
        weights = weights.astype(_COMPLEX, order="C")
    return weights.conj() if conjugate else weights


def _without_small(weights: np.ndarray) -> np.ndarray:
    """Return the weights with negligible ones set to zero; SciPy leaves NaNs out, too."""
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        kept = np.abs(weights) > _EPS
    return weights if kept.all() else np.where(kept, weights, 0.0)


def _fill(x: np.ndarray, filter: Filter, out: np.ndarray, bits: bool) -> None:
    """Fill `out` with a correlation of `x`, both of any real type; they may share memory.

    Samples under weights of 0 are ignored, even an infinity or a NaN.
    """
    if x.size == 0:
        return
    x, dtype = as_computed(x, out)
    target = out if out.dtype == dtype and is_apart(out, x) else np.empty(x.shape, dtype)
    if dtype.kind != "f":
        correlate_whole(x, filter, target)
    elif bits and filter.weights.size <= scipy_order.MOST_IN_ORDER:
        scipy_order.correlate(x, filter, target)
    else:
        correlate_nd(x, filter, target, _DOUBLE if bits else fast_sums(x, target))
        if not filter.has_no_zeros and not is_finite(target):
            for block in blocks(target.shape):
                if not np.isfinite(target[block]).all():
                    scipy_order.correlate_block(x, filter, block, target)
    if target is not out:
        store(target, out)


# ---------------------------------------------------------------------------------------------------- averages


def uniform_filter1d(input, size, axis=-1, output=None, mode="reflect", cval=0.0, origin=0) -> NDArray:
    """Average samples along one axis.

    Parameters
    ----------
    input : array_like
        As in `correlate1d`.
    axis, output, mode, cval, origin : optional
        As in `correlate1d`.
    size : int
        The number of samples averaged.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate1d`; RuntimeError for a `size` below 1.

    See Also
    --------
    fastconv.convolve1d : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import uniform_filter1d
    >>> uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    x = plain_array(input, "input").view()
    axis = as_axis(axis, x.ndim)
    out = as_output(output, x, x.dtype.kind == "c")
    average(x, [_average(axis, size, origin, mode, cval, x)], out)
    return out


def uniform_filter(input, size=3, output=None, mode="reflect", cval=0.0, origin=0, *, axes=None) -> NDArray:
    """Average the samples of a box.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    size, mode, origin : optional
        As in `uniform_filter1d` and `correlate`, or a sequence with one for each of `axes`. Sizes of at most 1 do
        nothing.
    axes : int or sequence of int, optional
        All by default.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`; RuntimeError for a sequence of another length.

    See Also
    --------
    fastconv.kernels.box : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import uniform_filter
    >>> uniform_filter([[0, 0, 0], [0, 9, 0], [0, 0, 0]])
    array([[1, 1, 1],
           [1, 1, 1],
           [1, 1, 1]])
    """
    x = plain_array(input, "input").view()
    out = as_output(output, x, x.dtype.kind == "c")
    along = as_axes(axes, x.ndim)
    names = {"size": size, "origin": origin, "mode": mode}
    sizes, origins, modes = (as_sequence(value, len(along), name) for name, value in names.items())
    passes = [
        _average(axis, int(size), origin, mode, cval, x)
        for axis, size, origin, mode in zip(along, sizes, origins, modes)
        if size > 1
    ]
    average(x, passes, out)
    return out


def _average(axis, size, origin, mode, cval, x) -> Pass:
    size = as_index(size, "size")
    if size < 1:
        raise RuntimeError(f"size must be positive; got {size}")
    first = as_first(origin, size)
    return Pass(axis, _ones(size), first, *as_fill(as_boundary(mode), cval, x.dtype.kind == "c"), size)


@kept
def _ones(size: int) -> NDArray[np.float64]:
    weights = np.ones(size)
    weights.flags.writeable = False
    return weights


# --------------------------------------------------------------------------------------------------- Gaussians


def gaussian_filter1d(
    input, sigma, axis=-1, order=0, output=None, mode="reflect", cval=0.0, truncate=4.0, *, radius=None, bits=True
) -> NDArray:
    """Filter with a Gaussian, or a derivative of one, along one axis.

    Parameters
    ----------
    input : array_like
        As in `correlate1d`.
    axis, output, mode, cval : optional
        As in `correlate1d`.
    sigma : float
        The Gaussian's standard deviation, in samples.
    order : int, default 0
        Which derivative.
    truncate : float, default 4
        How far the weights reach, in standard deviations.
    radius : int, optional
        How far they reach in samples; overrides `truncate`.
    bits : bool, default True
        As in `correlate1d`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate1d`; ValueError for a negative `order` or `radius`, or one that is no integer.

    See Also
    --------
    fastconv.convolve1d : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import gaussian_filter1d
    >>> gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1).round(4)
    array([1.427 , 2.0678, 3.    , 3.9322, 4.573 ])
    """
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    weights = _gaussian(sigma, order, truncate, radius)
    out = as_output(output, x, x.dtype.kind == "c")
    axis = as_axis(axis, x.ndim)
    run(x, [_centred(axis, weights, mode, cval, x)], out, bits)
    return out


def gaussian_filter(
    input, sigma, order=0, output=None, mode="reflect", cval=0.0, truncate=4.0, *, radius=None, axes=None, bits=True
) -> NDArray:
    """Filter with a Gaussian, or a derivative of one.

    Parameters
    ----------
    input : array_like
        As in `correlate` and `gaussian_filter1d`.
    output, cval, truncate : optional
        As in `correlate` and `gaussian_filter1d`.
    sigma : float or sequence of float
        As in `gaussian_filter1d`, or a sequence with one for each of `axes`. A `sigma` of 0 does nothing.
    order, mode, radius : optional
        As in `gaussian_filter1d`, or a sequence with one for each of `axes`. A `sigma` of 0 does nothing.
    axes : int or sequence of int, optional
        All by default.
    bits : bool, default True
        As in `correlate1d`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `gaussian_filter1d`; RuntimeError for a sequence of another length.

    See Also
    --------
    fastconv.image.gaussian_blur : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import gaussian_filter
    >>> gaussian_filter([[0, 0, 0], [0, 100, 0], [0, 0, 0]], 0.5, mode="constant")
    array([[ 1,  7,  1],
           [ 8, 61,  8],
           [ 1,  7,  1]])
    """
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    out = as_output(output, x)
    run(x, _gaussian_passes(x, sigma, order, mode, cval, truncate, radius, axes), out, bits)
    return out


def _gaussian_passes(x, sigma, order, mode, cval, truncate=4.0, radius=None, axes=None) -> list[Pass]:
    along = as_axes(axes, x.ndim)
    names = {"order": order, "sigma": sigma, "mode": mode, "radius": radius}
    orders, sigmas, modes, radiuses = (as_sequence(value, len(along), name) for name, value in names.items())
    return [
        _centred(axis, _gaussian(sigma, order, truncate, radius), mode, cval, x)
        for axis, sigma, order, mode, radius in zip(along, sigmas, orders, modes, radiuses)
        if sigma > 1e-15
    ]


def _centred(axis, weights, mode, cval, x) -> Pass:
    return Pass(axis, weights, -(weights.size // 2), *as_fill(as_boundary(mode), cval, x.dtype.kind == "c"))


def _gaussian(sigma, order, truncate, radius) -> NDArray[np.float64]:
    """Return the weights, in the order of a correlation."""
    if not isinstance(sigma, np.floating):
        sigma = as_float(sigma, "sigma")
    if radius is None:
        radius = int(truncate * float(sigma) + 0.5)
    if not isinstance(radius, numbers.Integral) or radius < 0:
        raise ValueError(f"radius must be an integer, and not negative; got {shown(radius)}")
    if order < 0:
        raise ValueError(f"order must not be negative; got {shown(order)}")
    weights = _gaussian_weights(type(sigma), sigma, as_index(order, "order") if order else 0, int(radius))
    if not weights.size:  # `np.arange` overflowed
        raise RuntimeError(f"radius must be small enough for the weights to fit into memory; got {shown(radius)}")
    return weights


@kept
def _gaussian_weights(kind: type, sigma, order: int, radius: int) -> NDArray[np.float64]:
    """Return a derivative of a Gaussian of sum 1: the Gaussian times a polynomial.

    The derivative of ``p(x) exp(-x**2 / (2 sigma**2))`` is ``(p'(x) - p(x) x / sigma**2)`` times the same exponential.
    `kind`, the type of `sigma`, is part of the cache's key: the square of a float32 is rounded to float32.
    """
    variance = sigma * sigma
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / variance * x**2)
    weights = weights / weights.sum()
    if order:
        powers = np.arange(order + 1)
        polynomial = np.zeros(order + 1)
        polynomial[0] = 1
        for _ in range(order):
            derived = np.zeros(order + 1)
            derived[:-1] += powers[1:] * polynomial[1:]
            derived[1:] += polynomial[:-1] * (1 / -float(variance))
            polynomial = derived
        weights = (x[:, np.newaxis] ** powers).dot(polynomial) * weights
    weights = weights[::-1].astype(_DOUBLE)
    weights.flags.writeable = False
    return weights


# ------------------------------------------------------------------------------------------------- derivatives


def prewitt(input, axis=-1, output=None, mode="reflect", cval=0.0, *, bits=True) -> NDArray:
    """Difference along one axis, summed over three samples along the others.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    axis : int, default -1
        The axis of the difference.
    mode : str or sequence of str, default "reflect"
        As in `correlate`, or one for each axis.
    bits : bool, default True
        As in `correlate1d`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate1d`; RuntimeError for a sequence of another length.

    See Also
    --------
    fastconv.kernels.prewitt_x : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import prewitt
    >>> prewitt([[1, 1, 5], [1, 1, 5], [1, 1, 5]])
    array([[ 0, 12, 12],
           [ 0, 12, 12],
           [ 0, 12, 12]])
    """
    return _difference(input, axis, output, mode, cval, bits, _SMOOTH_PREWITT)


def sobel(input, axis=-1, output=None, mode="reflect", cval=0.0, *, bits=True) -> NDArray:
    """Difference along one axis, summed with weights 1, 2, 1 along the others.

    Parameters
    ----------
    input : array_like
        As in `prewitt`.
    axis, output, mode, cval, bits : optional
        As in `prewitt`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `prewitt`.

    See Also
    --------
    fastconv.kernels.sobel_x : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import sobel
    >>> sobel([[1, 1, 5], [1, 1, 5], [1, 1, 5]])
    array([[ 0, 16, 16],
           [ 0, 16, 16],
           [ 0, 16, 16]])
    """
    return _difference(input, axis, output, mode, cval, bits, _SMOOTH_SOBEL)


_DIFFERENCE = np.array([-1.0, 0.0, 1.0])
_SMOOTH_PREWITT = np.array([1.0, 1.0, 1.0])
_SMOOTH_SOBEL = np.array([1.0, 2.0, 1.0])
_SECOND = np.array([1.0, -2.0, 1.0])


def _difference(input, axis, output, mode, cval, bits, smooth) -> NDArray:
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    axis = as_axis(axis, x.ndim)
    out = as_output(output, x)
    modes = as_sequence(mode, x.ndim, "mode")
    order = [axis, *(other for other in range(x.ndim) if other != axis)]
    run(x, [_centred(one, _DIFFERENCE if one == axis else smooth, modes[one], cval, x) for one in order], out, bits)
    return out


def laplace(input, output=None, mode="reflect", cval=0.0, *, axes=None, bits=True) -> NDArray:
    """Sum of the second differences along all axes.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    mode : str or sequence of str, default "reflect"
        As in `correlate`, or one for each of `axes`.
    axes : int or sequence of int, optional
        All by default.
    bits : bool, default True
        As in `correlate1d`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`; RuntimeError for a sequence of another length.

    See Also
    --------
    fastconv.kernels.laplacian : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import laplace
    >>> laplace([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    array([[ 0,  1,  0],
           [ 1, -4,  1],
           [ 0,  1,  0]])
    """
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    out = as_output(output, x)
    along = as_axes(axes, x.ndim)
    if not along:
        assign(out, x)
        return out
    modes = as_sequence(mode, len(along), "mode")
    add_up(x, [[_centred(axis, _SECOND, mode, cval, x)] for axis, mode in zip(along, modes)], out, bits)
    return out


def gaussian_laplace(input, sigma, output=None, mode="reflect", cval=0.0, *, axes=None, bits=True, **kwargs) -> NDArray:
    """Sum of the second derivatives of a Gaussian along all axes.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    sigma : float or sequence of float
        As in `gaussian_filter`.
    mode : optional
        As in `gaussian_filter`.
    axes : int or sequence of int, optional
        All by default.
    bits : bool, default True
        As in `correlate1d`.
    **kwargs
        `truncate` and `radius`, as in `gaussian_filter`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `gaussian_filter`.

    See Also
    --------
    fastconv.kernels.log : The kernel for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import gaussian_laplace
    >>> gaussian_laplace([[0, 0, 0], [0, 100, 0], [0, 0, 0]], 0.8, mode="constant")
    array([[  8,  -8,   8],
           [ -8, -76,  -8],
           [  8,  -8,   8]])
    """
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    along = as_axes(axes, x.ndim)
    given = as_sequence(sigma, len(along), "sigma")
    out = as_output(output, x)
    sigmas = [given[along.index(axis)] if axis in along else 0 for axis in range(x.ndim)]
    if len(along) == x.ndim:
        sigmas = given  # as in SciPy: in the order of the array
    _add_derivatives(x, along, sigmas, 2, mode, cval, kwargs, out, bits)
    return out


def gaussian_gradient_magnitude(
    input, sigma, output=None, mode="reflect", cval=0.0, *, axes=None, bits=True, **kwargs
) -> NDArray:
    """Root of the sum of the squared first derivatives of a Gaussian along all axes.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    sigma : float or sequence of float
        As in `gaussian_filter`, with one for each axis of `input`.
    mode : str or sequence of str, default "reflect"
        As in `correlate`, or one for each of `axes`.
    axes : int or sequence of int, optional
        The axes of the derivatives, all by default. Each derivative is smoothed along all axes.
    bits : bool, default True
        As in `correlate1d`.
    **kwargs
        `truncate` and `radius`, as in `gaussian_filter`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array. Squares and sums have its type: integers wrap.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `gaussian_filter`.

    See Also
    --------
    fastconv.image.sobel_magnitude : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat.ndimage import gaussian_gradient_magnitude
    >>> gaussian_gradient_magnitude([[0.0, 0, 0], [0, 100, 0], [0, 0, 0]], 0.8, mode="constant").round()
    array([[12., 18., 12.],
           [18.,  0., 18.],
           [12., 18., 12.]])
    """
    bits = as_bool(bits, "bits")
    x = plain_array(input, "input").view()
    out = as_output(output, x)
    along = as_axes(axes, x.ndim)
    _add_derivatives(x, along, sigma, 1, mode, cval, kwargs, out, bits)
    return out


def _add_derivatives(x, along, sigma, order, mode, cval, options, out, bits) -> None:
    """Fill `out` with the sum of a derivative along each axis, or with the magnitude of the first ones."""
    if not along:
        assign(out, x)
        return
    parts = []
    for axis, one in zip(along, as_sequence(mode, len(along), "mode")):
        orders = [order if other == axis else 0 for other in range(x.ndim)]
        parts.append(_gaussian_passes(x, sigma, orders, one, cval, **options))
    add_up(x, parts, out, bits, magnitude=order == 1)
