"""Drop-in replacements for the convolutions of `scipy.signal`.

Arguments, sizes, types, alignment, wrapping and errors are those of SciPy. `convolve2d`, `correlate2d` and the method
'direct' sum products directly, as in SciPy, in one pass or, for separable kernels, in two. `fftconvolve`, `oaconvolve`
and the methods 'fft' and 'auto' all use the method estimated to be the fastest: for small kernels, not a transform.
Integers always use the fastest one, since all methods are exact.

Bugs of SciPy that are not copied:

- ``convolve(..., method='fft')`` rounds a noisy FFT result to bools and to large integers. Here integers and bools are
  exact by every method.
- A NaN or an infinity fills the whole result of `fftconvolve`, `oaconvolve` and the method 'fft', and SciPy warns of
  it. Here it affects only the sums that contain it, without a warning.
- ``fftconvolve(..., mode='same', axes=...)`` truncates a broadcast axis to the length of the first input: (1, 100) with
  (7, 10) along axis 1 gives one row instead of seven. Here it gives all seven.
- `choose_conv_method` and the method 'auto' prefer a transform for kernels as small as 3x3. Here both use estimates
  for fastconv's own methods.
- A real number times a complex one has no products with an imaginary part of 0: an infinity times such a part is a NaN
  in SciPy.
- For empty inputs, SciPy returns more than their convolution in mode 'valid', or fails by accident. Here they raise a
  ValueError wherever SciPy has no meaningful result.

Results of bools, float16 and objects in more than one dimension are refused as in SciPy, with the same errors: by
`convolve2d`, `correlate2d` and the method 'direct', and except for float16 by 'auto' too. `fastconv.convolve2d`
supports them. `correlate` of two signals of bools in mode 'same' gives a result also if the second is longer, where
SciPy raises an error.

`fastconv.compat.Unsupported` is raised for objects, dates and strings that SciPy would convert to floats, and for dates
in one dimension; for arrays of other libraries if ``SCIPY_ARRAY_API`` is set; for an empty image with a boundary that
extends it.
"""

from __future__ import annotations

import math
import operator
import os
import timeit
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._model.arguments import plain_array
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.passed_exceptions import passed
from fastconv._planning.plans import Plan, find
from fastconv._runtime.cpu_limits import check_variable_once
from fastconv._runtime.interruptible_numpy import converted
from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat._unsupported import Unsupported

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "fftconvolve",
    "oaconvolve",
]
__getattr__, __dir__ = completed(__name__, "scipy.signal")
is_native = nativeness(__name__)

_MODES = {mode: mode for mode in ("full", "same", "valid")}
_METHODS = {method: method for method in ("auto", "direct", "fft")}
_BOUNDARIES = {
    "fill": "fill",
    "pad": "fill",
    "wrap": "wrap",
    "circular": "wrap",
    "symm": "reflect",
    "symmetric": "reflect",
}


def convolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Any:
    """Convolve two arrays along all their axes, as `scipy.signal.convolve` does.

    Along an axis with ``N`` and ``M`` elements, and nothing outside of `in1`::

        out[o] = sum over j of in1[o + start - j] * in2[j]

    Parameters
    ----------
    in1, in2 : array_like
        Arrays with the same number of dimensions.
    mode : {'full', 'same', 'valid'}
        Which outputs are returned along each axis: ``N + M - 1`` from ``start = 0`` on; ``N``, the length of `in1`,
        from ``start = (M - 1) // 2`` on; or ``abs(N - M) + 1`` from ``start = min(N, M) - 1`` on, where one input must
        be at least as large as the other along each axis.
    method : {'auto', 'direct', 'fft'}
        'direct' sums products. 'auto' and 'fft' use the method estimated to be the fastest.

    Returns
    -------
    ndarray
        A new array of type ``numpy.result_type(in1, in2)``; of two scalars, their product.

    Raises
    ------
    ValueError
        For different numbers of dimensions, an empty input, an unknown mode or method, a mode 'valid' in which neither
        contains the other, and types that SciPy refuses: see the module docstring.
    TypeError
        For objects that cannot be multiplied and added.
    Unsupported
        For arguments that only SciPy supports: see the module docstring.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Notes
    -----
    Integers are exact, modulo wrapping. The error of an FFT of floats is relative to the samples under the kernel: see
    `fastconv.convolve1d`.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    >>> signal.convolve([1, 2], [0, 1, 0.5, 3], "same")
    array([1. , 2.5])
    >>> signal.convolve([[[1, 2]]], [[[1]], [[10]]]).tolist()
    [[[1, 2]], [[10, 20]]]
    """
    in1, in2 = _as_arrays(in1, in2)
    if in1.ndim == in2.ndim == 0:
        return _product(in1, in2)
    _check_dimensions(in1, in2)
    in1, in2 = _ordered(in1, in2, mode)
    method = _method(method)
    return _convolve(in1, in2, _mode(mode, ValueError), method)


def correlate(in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto") -> Any:
    """Correlate two arrays along all their axes, as `scipy.signal.correlate` does.

    It is ``convolve(in1, numpy.conj(in2)[::-1, ...], mode, method)``, along each axis reversed.

    Parameters
    ----------
    in1, in2 : array_like
        Arrays with the same number of dimensions.
    mode, method : optional
        As in `convolve`.

    Returns
    -------
    ndarray
        A new array, as from `convolve`.

    Raises
    ------
    ValueError, Unsupported
        As `convolve`.

    See Also
    --------
    fastconv.correlate : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.correlate([1, 2], [1j, 2j, 3j])
    array([0.-3.j, 0.-8.j, 0.-5.j, 0.-2.j])
    >>> signal.correlate([1, 2], [1, 10, 100, 1000], "same")
    array([2100,  210])
    """
    in1, in2 = _as_arrays(in1, in2)
    if in1.ndim == in2.ndim == 0:
        return _product(in1, np.conj(in2) if in2.dtype.kind == "c" else in2)
    _check_dimensions(in1, in2)
    mode, method = _mode(mode), _method(method)
    # In one dimension SciPy calls NumPy, which does not conjugate if either input has objects.
    if in2.dtype.kind == "c" and not (in1.dtype.kind == "O" and method == "direct"):
        in2 = np.conj(in2)
    return _convolve(*_ordered(in1, np.flip(in2), mode), mode, method)


def _convolve(in1: np.ndarray, in2: np.ndarray, mode: str, method: str) -> np.ndarray:
    """Convolve two arrays in the order of `_ordered`."""
    dtypes = in1.dtype, in2.dtype
    if any(dtype.kind not in "biufc" for dtype in dtypes):
        _check_objects(in1, in2, method)
    elif in1.ndim > 1 and method != "fft":
        result = np.result_type(in1, in2)
        # SciPy's 'auto' accepts float16, which it transforms.
        if result.char == "?" or (result.char == "e" and method == "direct"):
            raise ValueError(f"in1 and in2 must not have a result of type {result} in more than one dimension")
    if in1.size == 0 or in2.size == 0:
        if mode == "same" and in2.size and method != "fft":
            return np.empty(in1.shape, np.result_type(in1, in2))
        raise ValueError(f"in1 and in2 must not be empty; got shapes {in1.shape} and {in2.shape}")
    return _run(in1, in2, mode, tuple(range(in1.ndim)), "direct" if method == "direct" else "auto")


def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: complex = 0
) -> NDArray[Any]:
    """Convolve two matrices, as `scipy.signal.convolve2d` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (H, W) and (K, L)
        The image and the kernel.
    mode : {'full', 'same', 'valid'}
        As in `convolve`.
    boundary : {'fill', 'wrap', 'symm'}, or {'pad', 'circular', 'symmetric'}
        The samples outside of `in1`: `fillvalue`; `in1` repeated periodically; or `in1` mirrored, edges included.
    fillvalue : scalar
        The value outside for ``boundary='fill'``. A non-zero imaginary part requires a complex result; for integer
        results it is truncated.

    Returns
    -------
    ndarray
        A new array of type ``numpy.result_type(in1, in2)``.

    Raises
    ------
    ValueError
        For inputs that are not matrices, an unknown mode or boundary, a mode 'valid' in which neither contains the
        other, a fill value that the result cannot hold or that is not a single number, and types that SciPy refuses:
        see the module docstring.
    Unsupported
        For an empty image with a boundary that extends it.

    See Also
    --------
    fastconv.convolve2d : The function for new programs.

    Notes
    -----
    Products of floats are summed directly, in one pass or in two. An infinity in `in2` times zeros outside of `in1` is
    left out, where SciPy has a NaN.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.convolve2d([[1, 2, 3]], [[1, 10, 100]], "same")
    array([[ 12, 123, 230]])
    >>> signal.convolve2d([[1, 2, 3]], [[1, 10, 100]], "same", "symm")
    array([[112, 123, 233]])
    """
    in1, in2 = _as_matrices(in1, in2)
    in1, in2 = _ordered(in1, in2, mode)
    mode, boundary = _mode(mode), _boundary(boundary)
    dtype = _result_type_2d(in1, in2)
    boundary, fillvalue = _engine_boundary(mode, boundary, fillvalue, dtype)
    if in1.size == 0 or in2.size == 0:
        return _empty_result(in1, in2, mode, boundary, dtype)
    return _run(in1, in2, mode, (0, 1), "direct", boundary, fillvalue, True)


def correlate2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: complex = 0
) -> NDArray[Any]:
    """Correlate two matrices, as `scipy.signal.correlate2d` does: `in2` is conjugated, not flipped.

    In mode 'same' the first output is number ``K // 2`` of the full correlation, ``L // 2`` along rows: for even sizes
    one later than in `correlate`. In mode 'valid', with `in2` the larger one, the result is the complex conjugate of
    that of `correlate`, as in SciPy.

    Parameters
    ----------
    in1, in2 : array_like, shapes (H, W) and (K, L)
        The image and the kernel.
    mode, boundary, fillvalue : optional
        As in `convolve2d`.

    Returns
    -------
    ndarray
        A new array, as from `convolve2d`.

    Raises
    ------
    ValueError, Unsupported
        As `convolve2d`.

    See Also
    --------
    fastconv.correlate2d : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.correlate2d([[1, 2, 3, 4]], [[1, 2, 3, 4]], "same")
    array([[20, 30, 20, 11]])
    >>> signal.correlate([1, 2, 3, 4], [1, 2, 3, 4], "same")
    array([11, 20, 30, 20])
    """
    in1, in2 = _as_matrices(in1, in2)
    first, second = _ordered(in1, in2, mode)
    mode, boundary = _mode(mode), _boundary(boundary)
    dtype = _result_type_2d(first, second)
    boundary, fillvalue = _engine_boundary(mode, boundary, fillvalue, dtype)
    if in1.size == 0 or in2.size == 0:
        return _empty_result(first, second, mode, boundary, dtype)
    ends = tuple(axis for axis in (0, 1) if mode == "same" and second.shape[axis] % 2 == 0)
    if first is not in1:
        ends = (0, 1)
        result = _run(first, second, mode, (0, 1), "direct", boundary, fillvalue, False)
    elif ends:  # reversed, 'same' is aligned to the other of the two middle taps of an even kernel
        first, second = np.flip(first, ends), np.flip(second, ends)
        result = _run(first, second, mode, (0, 1), "direct", boundary, fillvalue, False)
    else:
        return _run(first, second, mode, (0, 1), "direct", boundary, fillvalue, False)
    return np.ascontiguousarray(np.flip(result, ends))


def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: int | Sequence[int] | None = None) -> Any:
    """Convolve two arrays in floating point, as `scipy.signal.fftconvolve` does, by the fastest method.

    Parameters
    ----------
    in1, in2 : array_like
        Arrays with the same number of dimensions.
    mode : {'full', 'same', 'valid'}
        As in `convolve`, along `axes`.
    axes : int or sequence of ints, optional
        The axes to convolve along, all by default. Along the others both are broadcast to one shape, with a kernel for
        each index.

    Returns
    -------
    ndarray
        A new array. Integers and bools are computed in float64 and float16 in float32, else the type is
        ``numpy.result_type(in1, in2)``. If along each of `axes` one input has a single element, the inputs are
        multiplied in their own type. Empty inputs give an array of shape (0,).

    Raises
    ------
    ValueError
        For different numbers of dimensions, lengths along the other axes that cannot be broadcast, an unknown mode,
        `axes` out of range, repeated, not integers or empty, and a mode 'valid' in which neither contains the other.
    Unsupported
        For arrays that do not hold numbers.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Notes
    -----
    The rounding error is that of a direct sum if that is faster, else relative to the samples under the kernel: see
    `fastconv.convolve1d`. SciPy's is relative to the largest values.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.fftconvolve([1, 2, 3], [0, 1, 10])
    array([ 0.,  1., 12., 23., 30.])
    >>> signal.fftconvolve([[1, 2], [3, 4]], [[1, 10]], axes=1)
    array([[ 1., 12., 20.],
           [ 3., 34., 40.]])
    """
    return _fftconvolve(in1, in2, mode, axes)


def oaconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: int | Sequence[int] | None = None) -> Any:
    """Convolve two arrays in floating point, as `scipy.signal.oaconvolve` does: the same as `fftconvolve`.

    fastconv transforms large inputs tile by tile (overlap-save) in any case.

    Parameters
    ----------
    in1, in2 : array_like
        Arrays with the same number of dimensions.
    mode, axes : optional
        As in `fftconvolve`.

    Returns
    -------
    ndarray
        A new array, as from `fftconvolve`.

    Raises
    ------
    ValueError, Unsupported
        As `fftconvolve`.

    See Also
    --------
    fastconv.convolve : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.oaconvolve([1, 2, 3], [0, 1, 10], "same")
    array([ 1., 12., 23.])
    """
    return _fftconvolve(in1, in2, mode, axes)


def _fftconvolve(in1, in2, mode, axes) -> np.ndarray:
    in1, in2 = _as_arrays(in1, in2)
    for name, array in (("in1", in1), ("in2", in2)):
        if array.dtype.kind not in "biufc":
            raise Unsupported(f"{name} must hold numbers; got dtype {clipped(array.dtype)}")
    if in1.ndim == in2.ndim == 0:
        return _product(in1, in2)
    _check_dimensions(in1, in2)
    if in1.size == 0 or in2.size == 0:
        return np.zeros(0)
    asked = _axes(axes, in1.ndim)
    summed = [axis for axis in asked if in1.shape[axis] != 1 and in2.shape[axis] != 1]
    for axis in range(in1.ndim):
        lengths = {in1.shape[axis], in2.shape[axis]} - {1}
        if axis not in summed and len(lengths) > 1:
            raise ValueError(
                f"incompatible shapes for in1 and in2: {in1.shape} and {in2.shape} differ along axis {axis}, "
                "which is not among axes"
            )
    mode = _plain_string(mode)
    in1, in2 = _ordered(in1, in2, mode, summed)
    if not (isinstance(mode, str) and mode in _MODES):
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'; got mode={shown(mode)}")
    if mode == "same":  # a single element is multiplied with the middle only
        middle = [slice(None)] * in2.ndim
        for axis in asked:
            if in1.shape[axis] == 1:
                start = (in2.shape[axis] - 1) // 2
                middle[axis] = slice(start, start + 1)
        in2 = in2[tuple(middle)]
    if not summed:
        return _product(in1, in2)
    in1, in2 = _as_floats(in1), _as_floats(in2)
    return _run(in1, in2, mode, tuple(sorted(summed)), "auto")


def correlation_lags(in1_len: float, in2_len: float, mode: str = "full") -> NDArray[Any]:
    """Return the lags of the results of `correlate` along one axis, as `scipy.signal.correlation_lags` does.

    Parameters
    ----------
    in1_len, in2_len : int
        The lengths of both inputs, ``N`` and ``M``.
    mode : {'full', 'same', 'valid'}
        As in `correlate`.

    Returns
    -------
    ndarray of int64, 1-D
        ``-(M - 1) .. N - 1``; the `N` in the middle of these; or ``0 .. N - M``, or ``N - M .. 0`` if that is negative.

    Raises
    ------
    ValueError
        For an unknown mode.
    TypeError
        For lengths that are no numbers.

    See Also
    --------
    fastconv.correlation_lags : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat import signal
    >>> signal.correlation_lags(4, 3)
    array([-2, -1,  0,  1,  2,  3])
    """
    for name, value in (("in1_len", in1_len), ("in2_len", in2_len)):
        if not isinstance(value, (Number, np.number)):
            raise TypeError(f"{name} must be an integer; got {shown(value)}")
    mode = _plain_string(mode)
    if not (isinstance(mode, str) and mode in _MODES):
        raise ValueError(_MODE_MESSAGE.format(shown(mode)))
    longer = in1_len - in2_len
    if mode == "valid":
        return np.arange(min(longer, 0), max(longer, 0) + 1)
    lags = np.arange(-in2_len + 1, in1_len)
    if mode == "full":
        return lags
    first = lags.size // 2 - in1_len // 2
    return lags[first : first + in1_len]  # floats are refused here, as by SciPy


def choose_conv_method(in1: ArrayLike, in2: ArrayLike, mode: str = "full", measure: bool = False) -> Any:
    """Return the method that `convolve` uses for inputs like these, as `scipy.signal.choose_conv_method` does.

    Parameters
    ----------
    in1, in2 : array_like
        The arrays to convolve. Only types and sizes matter unless `measure` is true.
    mode : {'full', 'same', 'valid'}
        As in `convolve`.
    measure : bool
        Whether to time both methods instead of estimating.

    Returns
    -------
    method : {'direct', 'fft'}
        The faster one. For bools, longdouble and objects always 'direct', the only one.
    times : dict
        With `measure` only: seconds for each method, infinity if it is not available. Integers and bools are converted
        to float64 for 'fft'.

    Raises
    ------
    ValueError
        For an unknown mode.

    See Also
    --------
    fastconv.plan : The function for new programs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import signal
    >>> image = np.ones((512, 512))
    >>> signal.choose_conv_method(image, np.ones((3, 3)))
    'direct'
    >>> signal.choose_conv_method(image, np.random.default_rng(0).random((101, 101)))
    'fft'
    """
    in1, in2 = _as_arrays(in1, in2)
    if measure:
        times = {"fft": _seconds(in1, in2, mode, "fft"), "direct": _seconds(in1, in2, mode, "direct")}
        return ("fft" if times["fft"] < times["direct"] else "direct"), times
    kinds = in1.dtype.kind, in2.dtype.kind
    if any(kind not in "biufc" for kind in kinds) or kinds == ("b", "b"):
        return "direct"
    mode = _plain_string(mode)
    if not (isinstance(mode, str) and mode in _MODES):
        raise ValueError(_MODE_MESSAGE.format(shown(mode)))
    if in1.ndim != in2.ndim or in1.size == 0 or in2.size == 0 or in1.ndim == 0:
        return "direct"
    if mode == "valid":
        if not _contains(in1.shape, in2.shape):
            if not _contains(in2.shape, in1.shape):
                return "direct"
            in1, in2 = in2, in1
    return "fft" if _plan(in1, in2, mode, tuple(range(in1.ndim)), "auto").method == "fft" else "direct"


def _seconds(in1, in2, mode, method: str) -> float:
    """Time `convolve` with this method: the minimum of three runs, in seconds."""
    dtype = np.result_type(in1, in2)
    if method == "fft":
        if dtype.kind not in "biufc" or dtype.char in "gG":
            return math.inf
        if in1.ndim and in1.size and in2.size:
            first, second = _as_floats(in1), _as_floats(in2)
            first, second = _ordered(first, second, mode)
            mode, axes = _mode(mode), tuple(range(in1.ndim))
            timer = timeit.Timer(lambda: _run(first, second, mode, axes, "fft"))
            return _minimum_time(timer)
    return _minimum_time(timeit.Timer(lambda: convolve(in1, in2, mode, method)))


def _minimum_time(timer: timeit.Timer) -> float:
    once = timer.timeit(1)  # it may compile
    if once < 1:
        once = timer.timeit(1)
    number = max(1, min(100, int(0.005 / max(once, 1e-9))))
    return once if once > 1 else min(timer.repeat(3, number)) / number


def _plan(in1, in2, mode, axes, method, boundary="zero", fill_value=0, flip=True) -> Plan:
    types = in1.dtype, in1.shape, in2.dtype, in2.shape
    return find("in1", *types, mode, axes, boundary, fill_value, method, flip)


def _run(in1, in2, mode, axes, method, boundary="zero", fill_value=0, flip=True) -> np.ndarray:
    """Convolve along some axes, into a new array; along the others both are broadcast.

    The method 'direct' also allows separable passes: unlike a transform, they add no rounding errors of distant
    samples. For integers it allows all methods, which are exact.
    """
    options = boundary, fill_value, flip
    if mode == "full" and flip and boundary == "zero" and in1.size < in2.size:
        in1, in2 = in2, in1  # the result is the same, and SciPy's errors are relative to both
    if method == "direct" and np.result_type(in1.dtype, in2.dtype).kind in "iu":
        method = "auto"
    if method == "direct" and len(axes) > 1:
        plan = _plan(in1, in2, mode, axes, "auto", *options)
        if plan.method == "fft":
            if in2.dtype.kind != "c" and in2.size <= in1.size:
                try:
                    return _filled(_plan(in1, in2, mode, axes, "separable", *options), in1, in2)
                except ValueError:  # the kernel is not an outer product
                    pass
            plan = _plan(in1, in2, mode, axes, "direct", *options)
    else:
        plan = _plan(in1, in2, mode, axes, method, *options)
    return _filled(plan, in1, in2)


def _filled(plan: Plan, in1, in2) -> np.ndarray:
    result = np.empty(plan.shape, plan.dtype)
    plan(in1, in2, result, None)
    return result


# ---------------------------------------------------------------------------------------------------- arguments

_MODE_MESSAGE = "Acceptable mode flags are 'valid', 'same', or 'full'; got mode={}"


def _as_arrays(in1, in2) -> tuple[np.ndarray, np.ndarray]:
    """Convert both to views of plain arrays, since methods of one argument may reshape the other."""
    in1, in2 = _as_array(in1, "in1"), _as_array(in2, "in2")
    return in1.view(), in2.view()


def _as_array(value, name: str) -> np.ndarray:
    """Convert `value` to a plain array, as SciPy does."""
    check_variable_once()
    kind = type(value)
    if kind is np.ndarray and value.dtype.kind != "O":
        return value
    if kind not in (list, tuple, int, float, complex) and os.environ.get("SCIPY_ARRAY_API", "0") not in ("", "0"):
        raise Unsupported(f"{name} must be a numpy.ndarray or numbers with SCIPY_ARRAY_API set; got {kind.__name__}")
    return plain_array(value, name)


def _as_matrices(in1, in2) -> tuple[np.ndarray, np.ndarray]:
    in1, in2 = _as_arrays(in1, in2)
    for name, array in (("in1", in1), ("in2", in2)):
        if array.ndim != 2:
            raise ValueError(f"{name} must be a 2-D array; got shape {array.shape}")
    return in1, in2


def _check_dimensions(in1: np.ndarray, in2: np.ndarray) -> None:
    if in1.ndim != in2.ndim:
        raise ValueError(f"in1 and in2 should have the same dimensionality; got shapes {in1.shape} and {in2.shape}")


def _plain_string(value):
    """Convert a subclass of str, such as an enum member, to a plain string; return anything else as it is."""
    return str.__str__(value) if isinstance(value, str) else value


def _mode(mode, unhashable: type[Exception] = TypeError) -> str:
    return _found(_MODES, mode, _MODE_MESSAGE, unhashable)


def _method(method) -> str:
    message = "Acceptable method flags are 'auto', 'direct', or 'fft'; got method={}"
    return _found(_METHODS, method, message, ValueError)


def _boundary(boundary) -> str:
    message = (
        "Acceptable boundary flags are 'fill' (or 'pad'), 'circular' (or 'wrap'), and 'symmetric' (or 'symm'); "
        "got boundary={}"
    )
    return _found(_BOUNDARIES, boundary, message, TypeError)


def _found(table: Mapping[Any, str], value, message: str, unhashable: type[Exception]) -> str:
    """Look up the name of an option; values that cannot be hashed, which are none, have an error of their own."""
    try:
        return table[_plain_string(value)]
    except passed():
        raise
    except Exception as error:
        raise (ValueError if isinstance(error, KeyError) else unhashable)(message.format(shown(value))) from None


def _contains(larger: tuple[int, ...], smaller: tuple[int, ...]) -> bool:
    return all(map(operator.ge, larger, smaller))


def _ordered(in1: np.ndarray, in2: np.ndarray, mode, axes=None) -> tuple[np.ndarray, np.ndarray]:
    """Return both, in mode 'valid' the larger one first."""
    if not (isinstance(mode, str) and _plain_string(mode) == "valid"):
        return in1, in2
    axes = range(in1.ndim) if axes is None else axes
    shapes = [tuple(array.shape[axis] for axis in axes) for array in (in1, in2)]
    if _contains(*shapes):
        return in1, in2
    if _contains(*shapes[::-1]):
        return in2, in1
    raise ValueError(
        "For 'valid' mode, one must be at least as large as the other in every dimension; "
        f"got in1 and in2 of shapes {in1.shape} and {in2.shape}"
    )


def _check_objects(in1: np.ndarray, in2: np.ndarray, method: str) -> None:
    """Refuse arrays that do not hold numbers, except objects in one dimension with a direct method."""
    kinds = in1.dtype.kind + in2.dtype.kind
    if method == "fft":
        raise Unsupported(
            f"in1 and in2 must hold numbers for method='fft'; got dtypes {clipped(in1.dtype)} and {clipped(in2.dtype)}"
        )
    if in1.ndim > 1 or "U" in kinds or "S" in kinds:
        raise ValueError(f"in1 and in2 must hold numbers; got dtypes {clipped(in1.dtype)} and {clipped(in2.dtype)}")
    if kinds.strip("biufcO"):
        raise Unsupported(f"in1 and in2 must hold numbers; got dtypes {clipped(in1.dtype)} and {clipped(in2.dtype)}")


def _result_type_2d(in1: np.ndarray, in2: np.ndarray) -> np.dtype:
    """Return the type of a 2-D result; refuse those that SciPy refuses."""
    if in1.dtype.kind in "biufc" and in2.dtype.kind in "biufc":
        dtype = np.result_type(in1, in2)
        if dtype.char not in "?e":
            return dtype
    raise ValueError(
        "in1 and in2 must hold numbers whose result is of 8-bit integers or more, or float32 or more; "
        f"got dtypes {clipped(in1.dtype)} and {clipped(in2.dtype)}"
    )


def _engine_boundary(mode: str, boundary: str, fillvalue, dtype: np.dtype):
    """Return boundary and fill value as the engines have them."""
    if boundary != "fill":
        return boundary, 0
    if type(fillvalue) is not int or fillvalue != 0:
        fillvalue = _fill_value(fillvalue, dtype)
    if mode == "valid" or fillvalue == 0:
        return "zero", 0
    return boundary, fillvalue


def _fill_value(fillvalue, dtype: np.dtype):
    """Convert `fillvalue` to a number that `dtype` can hold."""
    array = plain_array(fillvalue, "fillvalue")
    if array.size != 1:
        what = "must be scalar or an array with one element" if array.size else "cannot be an empty array"
        raise ValueError(f"`fillvalue` {what}; got {shown(fillvalue)}")
    try:
        with np.errstate(all="ignore"):
            number = complex(array.astype(np.complex128).item())
    except passed():
        raise
    except Exception as error:
        message = f"fillvalue must be a number; got {shown(fillvalue)}"
        raise (ValueError if isinstance(error, ValueError) else TypeError)(message) from error
    if dtype.kind == "c":
        return number
    held = number.imag == 0 or (math.isnan(number.real) and math.isnan(number.imag))  # SciPy converts None to NaN
    if held and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        held = math.isfinite(number.real) and limits.min <= int(number.real) <= limits.max
        if held:
            return int(number.real)
    if not held:
        raise ValueError(
            "could not cast `fillvalue` directly to the output type, as it was first converted to complex: "
            f"got {shown(fillvalue)} for a result of type {clipped(dtype)}"
        )
    return number.real


def _empty_result(in1: np.ndarray, in2: np.ndarray, mode: str, boundary: str, dtype: np.dtype) -> np.ndarray:
    """Return the result for an empty input: sums without products."""
    if mode == "valid":
        raise ValueError(f"in1 and in2 must not be empty in mode 'valid'; got shapes {in1.shape} and {in2.shape}")
    if in1.size == 0 and boundary != "zero":
        raise Unsupported(f"in1 must not be empty for boundary={shown(boundary)}; got shape {in1.shape}")
    if mode == "same":
        return np.zeros(in1.shape, dtype)
    return np.zeros([max(0, samples + taps - 1) for samples, taps in zip(in1.shape, in2.shape)], dtype)


def _axes(axes, ndim: int) -> list[int]:
    """Return `axes` as non-negative integers."""
    if axes is None:
        return list(range(ndim))
    try:
        several: Any = (axes,) if isinstance(axes, Number) else axes
        numbers = [operator.index(axis) for axis in several]
    except passed():
        raise
    except Exception as error:
        raise ValueError(f"axes must be a scalar or iterable of integers; got {shown(axes)}") from error
    if any(not -ndim <= axis < ndim for axis in numbers):
        raise ValueError(f"axes exceeds dimensionality of input, which is {ndim}; got {shown(axes)}")
    numbers = [axis % ndim for axis in numbers]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"all axes must be unique; got {shown(axes)}")
    if not numbers:
        raise ValueError(f"when provided, axes cannot be empty; got {shown(axes)}")
    return numbers


def _product(in1: np.ndarray, in2: np.ndarray) -> Any:
    """Multiply two arrays, without NumPy's warning about NaNs."""
    with np.errstate(invalid="ignore"):
        return in1 * in2


def _as_floats(array: np.ndarray) -> np.ndarray:
    """Convert to the floating type of SciPy's transforms."""
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    return converted(array, np.dtype(np.float32)) if array.dtype.char == "e" else array
