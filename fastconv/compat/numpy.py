"""Drop-in replacements for `numpy.convolve` and `numpy.correlate`.

Arguments, lengths, types, alignment, wrapping and errors are those of NumPy. Products of floats are summed directly as
in NumPy, so that a small result next to large ones keeps its precision, and integers stored as floats stay exact. Only
where no element of one operand has another sign than the rest of it, and where the two do not hold whole numbers, nor
many zeros at their ends, long float32 and float64 are transformed in float64, with errors of at most 2.3e-10 of each
result. For elements of both signs `fastconv.convolve` and `fastconv.compat.signal` are faster. Integers are exact by
FFT too.

`fastconv.compat.Unsupported` is raised for dates and time spans, records, and arrays whose type overrides
``__array_function__`` (those of other libraries, and those with units).

float16 is summed in single precision and rounded once, while NumPy rounds each partial sum. A real number times a
complex one has no products with an imaginary part of 0: an infinity times such a part is a NaN in NumPy.
"""

from __future__ import annotations

import operator
from typing import Any, Iterator, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._model.arguments import FLOATS, plain_array
from fastconv._model.message_formatting import clipped, shown
from fastconv._model.passed_exceptions import passed
from fastconv._planning import zero_trimming
from fastconv._planning.plans import Plan, find
from fastconv._runtime import interruptible_numpy, memory_maps
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.bounded_cache import kept
from fastconv.compat._namespaces import completed, nativeness
from fastconv.compat._unsupported import Unsupported

__all__ = ["convolve", "correlate"]
__getattr__, __dir__ = completed(__name__, "numpy")
is_native = nativeness(__name__)

_MODES = ("valid", "same", "full")  # by NumPy's numbers
_PLAIN = (list, tuple, int, float, complex, np.float64)


def convolve(a: Any, v: Any, mode: str | int = "full") -> NDArray[Any]:
    """Convolve two sequences, as `numpy.convolve` does.

    With ``N`` and ``M`` elements, the longer one counted as `a`::

        out[o] = sum over j of a[o + start - j] * v[j]

    Parameters
    ----------
    a : array_like, shape (N,)
        One sequence. A scalar is a sequence of one element.
    v : array_like, shape (M,)
        The other.
    mode : {'full', 'same', 'valid'} or {2, 1, 0}
        Which outputs are returned: ``N + M - 1``; ``max(N, M)``, from ``start = (min(N, M) - 1) // 2`` on; or
        ``max(N, M) - min(N, M) + 1``, from ``start = min(N, M) - 1`` on.

    Returns
    -------
    ndarray
        A new array of type ``numpy.result_type(a, v)``. Integers wrap; bools are combined by "and" and "or".

    Raises
    ------
    ValueError
        For an empty sequence, one of two or more dimensions, one of strings, and an unknown mode.
    TypeError
        For a mode that is neither a string nor an integer, and for objects that cannot be multiplied and added.
    Unsupported
        For types and arrays that only NumPy supports: see the module docstring.

    See Also
    --------
    fastconv.convolve : For signals and images; 'same' has the length of the first argument.

    Examples
    --------
    >>> from fastconv.compat import numpy as fnp
    >>> fnp.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    >>> fnp.convolve([1, 2], [0, 1, 0.5, 3], "same")
    array([0. , 1. , 2.5, 4. ])
    """
    if type(a) is not np.ndarray:
        a = _as_array(a, "a")
    if type(v) is not np.ndarray:
        v = _as_array(v, "v")
    a, v = a.view(), v.view()
    if a.ndim != 1 or v.ndim != 1:
        a, v = np.atleast_1d(a), np.atleast_1d(v)
    if len(v) > len(a):
        a, v = v, a
        names = ("v", "a")
    else:
        names = ("a", "v")
    if type(mode) is not str:
        mode = _mode_name(mode)
    ready = _plans(names, a.dtype, a.shape, v.dtype, v.shape, mode, True)
    result = np.empty(ready.direct.shape, ready.direct.dtype)
    ready.run(a, v, result)
    return result


def correlate(a: Any, v: Any, mode: str | int = "valid") -> NDArray[Any]:
    """Correlate two sequences, as `numpy.correlate` does: the second is conjugated, not flipped.

    With ``N`` elements in `a` and ``M`` in `v`, and nothing outside of `a`::

        out[o] = sum over j of a[o + start - (M - 1) + j] * conj(v[j])

    Python objects are not conjugated, complex or not.

    Parameters
    ----------
    a : array_like, shape (N,)
        One sequence.
    v : array_like, shape (M,)
        The other.
    mode : {'valid', 'same', 'full'} or {0, 1, 2}
        Which outputs are returned; lengths are those of `convolve`. Mode 'full' begins at ``start = 0``, 'valid' at
        ``min(N, M) - 1``, and 'same' at ``(M - 1) // 2``, or at ``N // 2`` if `v` is the longer one.

    Returns
    -------
    ndarray
        A new array of type ``numpy.result_type(a, v)``.

    Raises
    ------
    ValueError, TypeError, Unsupported
        As `convolve`; a scalar is a ValueError here.

    See Also
    --------
    fastconv.correlate : The function for new programs.

    Examples
    --------
    >>> from fastconv.compat import numpy as fnp
    >>> fnp.correlate([1, 2, 3], [0, 1, 0.5])
    array([3.5])
    >>> fnp.correlate([1, 2, 3], [0, 1, 0.5], "full")
    array([0.5, 2. , 3.5, 3. , 0. ])
    >>> fnp.correlate([1, 2], [1, 10, 100, 1000], "same")
    array([2100,  210,   21,    2])
    """
    given = a, v
    if type(a) is not np.ndarray:
        a = _as_array(a, "a")
    if type(v) is not np.ndarray:
        v = _as_array(v, "v")
    a, v = a.view(), v.view()
    if type(mode) is not str:
        mode = _mode_name(mode)
    ready = _plans(("a", "v"), a.dtype, a.shape, v.dtype, v.shape, mode, False)
    result = np.empty(ready.direct.shape, ready.direct.dtype)
    if mode == "same" and len(v) > len(a):
        # Convolve the longer one with the shorter one, and reverse the result.
        ready.run(np.conj(v) if v.dtype.kind == "c" and result.dtype.kind == "c" else v, a[::-1], result[::-1])
    elif result.dtype.kind == "O":  # NumPy does not conjugate objects
        ready.run(a, v[::-1], result)
    else:
        ready.run(a, v, result)
    return result if type(given[0]) is type(given[1]) is np.ndarray else _in_type_of(result, *given)


def _in_type_of(result: np.ndarray, a, v) -> np.ndarray:
    """Return `result` in the array type of the operand of higher priority, else of the longer one, as NumPy does."""
    first, second = (v, a) if np.size(v) > np.size(a) else (a, v)
    like = second if _priority(second) > _priority(first) else first
    if not isinstance(like, np.ndarray) or type(like) is np.ndarray:
        return result
    result = result.view(type(like))
    result.__array_finalize__(like)
    return result


def _priority(operand) -> float:
    is_subclass = isinstance(operand, np.ndarray) and type(operand) is not np.ndarray
    return float(getattr(operand, "__array_priority__", 0)) if is_subclass else 0.0


def _as_array(value, name: str) -> np.ndarray:
    """Convert `value` to a plain array, as NumPy's function does."""
    kind = type(value)
    if kind not in _PLAIN:
        own = getattr(kind, "__array_function__", np.ndarray.__array_function__)
        if own is not np.ndarray.__array_function__:
            raise Unsupported(f"{name} must be a numpy.ndarray or a sequence of numbers; got {kind.__name__}")
    return plain_array(value, name)


def _mode_name(mode) -> str:
    """Return the name of a mode given as a number or a subclass of str."""
    if isinstance(mode, str):
        return str.__str__(mode)  # the `__str__` of an enum member returns another string
    try:
        if isinstance(mode, (bool, np.bool_)):
            raise TypeError("bools are not accepted as integers")
        number = operator.index(mode)
    except passed():
        raise
    except Exception as error:
        raise TypeError(f"mode must be 'full', 'same' or 'valid', or 2, 1 or 0; got {shown(mode)}") from error
    if not 0 <= number <= 2:
        raise ValueError(f"mode must be 'full', 'same' or 'valid', or 2, 1 or 0; got {shown(mode)}")
    return _MODES[number]


class _Plans(NamedTuple):
    """Plans of one call."""

    direct: Plan  # or of integers
    double: Plan | None  # by transforms in float64, if those may be faster

    def run(self, x: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> None:
        """Fill `out`."""
        if self.double is None or not self._transform(self.double, x, kernel, out):
            self.direct(x, kernel, out, None)

    def _transform(self, double: Plan, x: np.ndarray, kernel: np.ndarray, out: np.ndarray) -> bool:
        """Fill `out` by a transform, if that is precise relative to each result; return whether it is."""
        _pins = pinned(x, kernel)
        if not (_has_one_sign(kernel) and _has_one_sign(x)) or (_is_whole(kernel) and _is_whole(x)):
            return False
        if _is_padded(kernel) or _is_padded(x):  # direct sums are trimmed
            return False
        if out.dtype == double.dtype:
            double(x, kernel, out, None)
            return True
        wide = np.empty(double.shape, double.dtype)
        x, kernel = (interruptible_numpy.converted(operand, double.dtype) for operand in (x, kernel))
        double(x, kernel, wide, None)
        interruptible_numpy.copy(out, wide)
        return True


def _has_one_sign(array: np.ndarray) -> bool:
    """True if no two elements have different signs, and none is a NaN."""
    may_be_positive = may_be_negative = True
    for part in _chunks(array, interruptible_numpy.CHUNK_ELEMENTS):
        with np.errstate(invalid="ignore"):  # raised by a signalling NaN
            may_be_positive = may_be_positive and part.min() >= 0
            may_be_negative = may_be_negative and part.max() <= 0
        if not (may_be_positive or may_be_negative):
            return False
    return True


def _is_whole(array: np.ndarray) -> bool:
    """True if all elements are whole numbers."""
    return array.dtype.kind in "biu" or all((np.rint(part) == part).all() for part in _chunks(array, _LOOK))


_LOOK = 1 << 12


def _is_padded(array: np.ndarray) -> bool:
    """True if more than a quarter of the elements are zeros around the others."""
    found = zero_trimming.nonzero_ranges(array, (0,), zero_trimming.LEAST)
    return found is not None and 4 * (found[0][1] - found[0][0]) < 3 * len(array)


def _chunks(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    found = memory_maps.mapped(array)
    for chunk in interruptible_numpy.chunk_slices(array.shape, size):
        yield array[chunk]
        if found is not None:
            found.release_pages()


@kept
def _plans(names, x_dtype, x_shape, kernel_dtype, kernel_shape, mode, flip) -> _Plans:
    """Check types and shapes; return the plans. Mode 'same' with `v` longer than `a` is planned as a convolution."""
    for name, shape in zip(names, (x_shape, kernel_shape)):
        if shape[:1] == (0,):
            raise ValueError(f"{name} cannot be empty; got shape {shape}")
    for name, dtype, shape in zip(names, (x_dtype, kernel_dtype), (x_shape, kernel_shape)):
        if len(shape) != 1:
            raise ValueError(f"{name} must have one dimension; got shape {shape}")
        if dtype.kind in "SU":
            raise ValueError(f"{name} must hold numbers; got dtype {clipped(dtype)}")
        if dtype.kind not in "biufcO":
            raise Unsupported(f"{name} must hold numbers; got dtype {clipped(dtype)}")
    if not flip and mode == "same" and kernel_shape[0] > x_shape[0]:
        x_dtype, kernel_dtype, x_shape, kernel_shape, flip = kernel_dtype, x_dtype, kernel_shape, x_shape, True
        if x_dtype.kind == "c" and kernel_dtype.kind != "O":
            x_dtype = x_dtype.newbyteorder("=")  # `np.conj` returns a native array
    flip = flip or "O" in (x_dtype.kind, kernel_dtype.kind)
    whole = x_dtype.kind in "biu" and kernel_dtype.kind in "biu" and np.result_type(x_dtype, kernel_dtype).kind in "iu"
    method = "auto" if whole else "direct"  # integers are exact by every method
    plan = find(names[0], x_dtype, x_shape, kernel_dtype, kernel_shape, mode, (0,), "zero", 0, method, flip)
    if plan.dtype not in FLOATS or plan.estimate("direct") < _WORTH_A_LOOK:
        return _Plans(plan, None)
    if plan.dtype != _DOUBLE:
        x_dtype = kernel_dtype = _DOUBLE
    double = find(names[0], x_dtype, x_shape, kernel_dtype, kernel_shape, mode, (0,), "zero", 0, "auto", flip)
    return _Plans(plan, double if _GAIN * double.estimate("fft") < plan.estimate("direct") else None)


_DOUBLE = np.dtype(np.float64)
# Direct nanoseconds that are worth a look at all elements, and the estimated gain that is worth another rounding.
_WORTH_A_LOOK, _GAIN = 100_000, 2
