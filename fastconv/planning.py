"""A convolution prepared once, for a caller who has many frames and one kernel."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._arguments import (
    PASSED,
    as_array,
    as_axes,
    as_choices,
    as_dtype,
    as_integer,
    as_out,
    as_truth,
    as_workers,
    clipped,
    overlaps_itself,
    shown,
)
from fastconv._crew import check_variable
from fastconv._plan import find
from fastconv._slabs import copy
from fastconv.convolution import Boundary, Method, Mode


class ConvolutionPlan:
    """What `plan` returns: call it with one array after the other.

    It may be called from several threads at once.

    Attributes
    ----------
    shape : tuple of int
        Of the arrays that it takes.
    x_dtype : dtype
        Of the arrays that it takes.
    out_shape : tuple of int
        Of the results.
    dtype : dtype
        Of the results.
    method : {'direct', 'separable', 'fft'}
        How it computes. What is not finite is computed directly in any case.
    """

    def __init__(self, plan, kernel, shape, x_dtype, mode, axes, boundary, correlate, workers):
        self._plan, self._kernel, self._workers = plan, kernel, workers
        self._told = mode, axes, boundary, correlate
        self._prepared = plan.prepare(kernel)
        self.shape: tuple[int, ...] = shape
        self.x_dtype: np.dtype = x_dtype
        self.out_shape: tuple[int, ...] = plan.shape
        self.dtype: np.dtype = plan.dtype
        self.method: str = self._prepared.method if self._prepared else plan.method

    def __call__(self, x: ArrayLike, out: NDArray | None = None) -> NDArray:
        """Convolve `x`.

        Parameters
        ----------
        x : array_like of `shape` and `x_dtype`
        out : ndarray of `out_shape` and `dtype`, optional
            Where to put the result. It may overlap `x`.

        Returns
        -------
        ndarray
            The result: `out`, if there is one.

        Raises
        ------
        ValueError
            If `x` or `out` is not what the plan was made for.
        TypeError
            If `out` is no array.
        """
        x = as_array(x, "x")
        if x.shape != self.shape or x.dtype != self.x_dtype:
            raise ValueError(
                f"x must have shape {self.shape} and dtype {self.x_dtype}, which the plan was made for; "
                f"got shape {x.shape} and dtype {clipped(x.dtype)}"
            )
        if out is not None:
            given = as_out(out, self.out_shape, self.dtype)
            if not (np.may_share_memory(given, x) or overlaps_itself(given)):
                self._run(x, given)
                return out
        result = np.empty(self.out_shape, self.dtype)
        self._run(x, result)
        if out is None:
            return result
        copy(given, result)
        return out

    def _run(self, x, out):
        if self._prepared is None:
            self._plan(x, self._kernel, out, self._workers)
        else:
            self._plan.run(x, self._prepared, out, self._workers)

    def __repr__(self) -> str:
        mode, axes, boundary, correlate = self._told
        what = "correlation" if correlate else "convolution"
        kernel = "x".join(map(str, self._kernel.shape))
        why = self._prepared or self._plan.reason
        return (
            f"<fastconv.plan: {what} of {self.x_dtype} {self.shape} with {kernel} {self._kernel.dtype}, mode {mode!r}, "
            f"axes {axes}, boundary {boundary!r}, to {self.dtype} {self.out_shape}; {why}>"
        )


def plan(
    kernel: ArrayLike,
    shape: int | tuple[int, ...],
    dtype: DTypeLike | None = None,
    mode: Mode = "full",
    *,
    axes: int | tuple[int, ...] | None = None,
    boundary: Boundary = "zero",
    fill_value: complex = 0,
    method: Method = "auto",
    correlate: bool = False,
    workers: int | None = None,
) -> ConvolutionPlan:
    """Prepare a convolution with one kernel, to be called with one array after the other.

    The kernel's flip, factors or spectrum are computed here, once. Calls of the plan return what `convolve1d`,
    `convolve2d` (or, with `correlate`, `correlate1d` and `correlate2d`) return for the same arguments.

    Parameters
    ----------
    kernel : array_like, shape (M,) or (K, L)
        The taps. They are copied.
    shape : int or tuple of int
        Of the arrays to come: at least as many dimensions as the kernel has.
    dtype : dtype, optional
        Of the arrays to come; that of the kernel unless told otherwise.
    mode : {'full', 'same', 'valid'}
        How much of the convolution is computed, as in `convolve1d`.
    axes : int or pair of int, optional
        The axis, or for a 2-D kernel the two axes, to convolve along; the last ones unless told otherwise.
    boundary, fill_value, method
        As in `convolve1d`.
    correlate : bool
        Leave the kernel as it is, and conjugate it.
    workers : int, optional
        The most threads to use, as in `convolve1d`.

    Returns
    -------
    ConvolutionPlan
        A callable; its `repr` tells which method it uses, and why.

    Raises
    ------
    ValueError, TypeError
        As `convolve1d` and `convolve2d`; and for a `kernel` that is neither 1-D nor 2-D, and a `shape` that is none.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> blur = fastconv.plan(np.ones((3, 3), np.float32) / 9, shape=(480, 640), mode="same", boundary="reflect")
    >>> frames = np.ones((2, 480, 640), np.float32)
    >>> [blur(frame).shape for frame in frames]
    [(480, 640), (480, 640)]
    >>> blur.method
    'direct'
    """
    check_variable()
    taps = np.array(as_array(kernel, "kernel"))
    if taps.ndim not in (1, 2):
        raise ValueError(f"kernel must be 1-D or 2-D; got shape {taps.shape}")
    shape = _as_shape(shape, taps.ndim)
    x_dtype = taps.dtype.newbyteorder("=") if dtype is None else as_dtype(dtype)
    if axes is None:
        axes = (-1,) if taps.ndim == 1 else (-2, -1)
    elif taps.ndim == 1 and not isinstance(axes, (tuple, list)):
        axes = (axes,)
    numbers = as_axes(axes, taps.ndim, len(shape), "axes")
    if workers is not None:
        workers = as_workers(workers)
    correlate = as_truth(correlate, "correlate")
    mode, boundary, method = as_choices(mode, boundary, method)
    found = find("x", x_dtype, shape, taps, mode, numbers, boundary, fill_value, method, not correlate)
    return ConvolutionPlan(found, taps, shape, x_dtype, mode, numbers, boundary, correlate, workers)


# Of NumPy's arrays.
_MOST_DIMENSIONS = 64


def _as_shape(shape, least: int) -> tuple[int, ...]:
    """`shape` as a tuple of positive integers, `least` of them or more."""
    try:
        extents = tuple(map(as_integer, shape)) if isinstance(shape, (tuple, list)) else (as_integer(shape),)
    except PASSED:
        raise
    except Exception as error:
        raise TypeError(f"shape must be an integer or a tuple of integers; got {shown(shape)}") from error
    if len(extents) > _MOST_DIMENSIONS:
        raise ValueError(f"shape must have at most {_MOST_DIMENSIONS} dimensions; got {len(extents)}")
    if len(extents) < least:
        raise ValueError(f"shape must have at least {least} dimensions, those of the kernel; got {shown(shape)}")
    if not all(1 <= extent <= sys.maxsize for extent in extents):
        raise ValueError(f"shape must hold positive integers, of at most {sys.maxsize}; got {shown(shape)}")
    return extents
