"""Filters that add up derivatives which the caller's function computes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv._model.arguments import plain_array
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.compat.ndimage._arguments import as_axes, as_output, as_sequence
from fastconv.compat.ndimage._passes import assign


def generic_laplace(
    input, derivative2, output=None, mode="reflect", cval=0.0, extra_arguments=(), extra_keywords=None, *, axes=None
) -> NDArray:
    """Sum of the second derivatives along all axes, which a function computes.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    derivative2 : callable
        Called for each axis as ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``:
        for the first axis with the array for the result, which it fills; for others with its dtype, and it returns an
        array, which may be changed.
    mode : str or sequence of str, default "reflect"
        As in `correlate`, or one for each of `axes`.
    extra_arguments : sequence
        More arguments of the function.
    extra_keywords : dict, optional
        More keywords of the function.
    axes : int or sequence of int, optional
        The axes of the derivatives, all by default.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array. Sums have its type: integers wrap.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`, and what the function raises.

    See Also
    --------
    laplace : With the second difference.
    gaussian_laplace : With second derivatives of a Gaussian.

    Examples
    --------
    >>> from fastconv.compat import ndimage
    >>> def second(x, axis, output, mode, cval):
    ...     return ndimage.correlate1d(x, [1, -2, 1], axis, output, mode, cval)
    >>> ndimage.generic_laplace([[0, 0, 0], [0, 1, 0], [0, 0, 0]], second)
    array([[ 0,  1,  0],
           [ 1, -4,  1],
           [ 0,  1,  0]])
    """
    return _add_up(input, derivative2, output, mode, cval, extra_arguments, extra_keywords, axes, False)


def generic_gradient_magnitude(
    input, derivative, output=None, mode="reflect", cval=0.0, extra_arguments=(), extra_keywords=None, *, axes=None
) -> NDArray:
    """Root of the sum of the squared derivatives along all axes, which a function computes.

    Parameters
    ----------
    input : array_like
        As in `correlate`.
    output, cval : optional
        As in `correlate`.
    derivative : callable
        Called as the one of `generic_laplace`.
    mode, extra_arguments, extra_keywords, axes : optional
        As in `generic_laplace`.

    Returns
    -------
    ndarray
        Of the shape of `input`; `output` itself, if it is an array. Squares and sums have its type: integers wrap.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As `correlate`, and what the function raises.

    See Also
    --------
    gaussian_gradient_magnitude : With first derivatives of a Gaussian.

    Examples
    --------
    >>> from fastconv.compat import ndimage
    >>> ndimage.generic_gradient_magnitude([[0.0, 0, 0], [0, 3, 4], [0, 0, 0]], ndimage.sobel).round(1)
    array([[ 4.2, 10.8, 15. ],
           [ 6. ,  8. ,  2. ],
           [ 4.2, 10.8, 15. ]])
    """
    return _add_up(input, derivative, output, mode, cval, extra_arguments, extra_keywords, axes, True)


def _add_up(input, function, output, mode, cval, extra_arguments, extra_keywords, axes, magnitude: bool) -> NDArray:
    x = plain_array(input, "input").view()
    out = as_output(output, x, depth=2)
    along = as_axes(axes, x.ndim)
    if not along:
        assign(out, x)
        return out
    keywords = {} if extra_keywords is None else extra_keywords
    modes = as_sequence(mode, len(along), "mode")
    function(x, along[0], out, modes[0], cval, *extra_arguments, **keywords)
    if magnitude:
        _apply(np.multiply, out, out, out)
    for axis, one in zip(along[1:], modes[1:]):
        part = function(x, axis, out.dtype, one, cval, *extra_arguments, **keywords)
        if magnitude:
            _apply(np.multiply, part, part, part)
        _apply(np.add, out, out, part)
    if magnitude:
        _apply(np.sqrt, out, out)
    return out


def _apply(operation: np.ufunc, out: np.ndarray, *operands: np.ndarray) -> None:
    """Compute ``out[...] = operation(*operands)`` chunk by chunk, without NumPy's warnings."""
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(out.shape):
            parts = (operand[chunk] if operand.shape == out.shape else operand for operand in operands)
            # A root of integers is a float.
            operation(*parts, out=out[chunk], casting="unsafe" if operation is np.sqrt else "same_kind")
