"""Kernels from examples: least squares for the taps that make one array from another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.arguments import as_array, as_bool, as_choices, as_count, as_finite, check_no_fill_value
from fastconv._model.geometry import FILL, ZERO, span
from fastconv._model.message_formatting import clipped, shown
from fastconv._planning.fitting import least_squares
from fastconv._planning.fitting.normal_equations import Model
from fastconv._planning.sweeps import as_sweeps, check_valid
from fastconv._runtime.borrowed_arrays import pinned
from fastconv._runtime.interruptible_numpy import chunk_slices
from fastconv.convolution import Boundary, Mode

__all__ = ["KernelFit", "fit_kernel"]

_DOUBLE = np.dtype(np.float64)
_MOST_TAPS = 1 << 28
# Relative to the largest sample: leaves taps of 0 for all purposes, and sums finite.
_LARGEST_RIDGE = 1e150


@dataclass(frozen=True, eq=False)
class KernelFit:
    """A kernel found by `fit_kernel`, and how well it is known.

    Attributes
    ----------
    kernel : ndarray of float64
        The taps, for `convolve1d` or `convolve2d`.
    residual : float
        The root mean square of ``y - x * kernel``, with the weights of the samples.
    condition : float
        The condition of the least-squares problem, the ratio of the largest and the least singular value: errors of
        `y` may appear in the kernel enlarged by as much. For more than 2,000 taps an estimate from the
        spectrum of `x`.
    standard_errors : ndarray of float64, or None
        The standard error of each tap, if the errors of `y` are independent, of a variance inverse to `weights`, and
        those of `x` negligible. None for more than 2,000 taps, and if there are no more samples than taps.

    See Also
    --------
    fit_kernel : Find a kernel.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.fit_kernel([1, 2, 4, 8], [2, 4, 8, 17], 1)
    <fastconv.KernelFit: 1 taps, residual 0.249, condition 1>
    """

    kernel: NDArray[np.float64]
    residual: float
    condition: float
    standard_errors: NDArray[np.float64] | None

    def __repr__(self) -> str:
        taps = "x".join(map(str, self.kernel.shape))
        return f"<fastconv.KernelFit: {taps} taps, residual {self.residual:.3g}, condition {self.condition:.3g}>"


def fit_kernel(
    x: ArrayLike,
    y: ArrayLike,
    shape: int | tuple[int] | tuple[int, int],
    *,
    mode: Mode = "same",
    boundary: Boundary = "zero",
    fill_value: float = 0,
    ridge: float = 0.0,
    weights: ArrayLike | None = None,
    symmetric: bool = False,
) -> KernelFit:
    """Find the kernel that makes `y` from `x`, by least squares.

    The kernel minimizes, with the convolution of `convolve1d` or `convolve2d` in this mode and with this boundary::

        sum(weights * (y - convolve(x, kernel, mode, boundary)) ** 2) + ridge * sum(kernel ** 2)

    Parameters
    ----------
    x : array_like, shape (..., N) or (..., H, W)
        What goes in: a signal or an image, or a batch of them, for one kernel.
    y : array_like
        What comes out, of the shape that the convolution of `x` has.
    shape : int, or tuple of one or two
        The shape of the kernel: an integer for signals, a pair for images.
    mode : {'same', 'full', 'valid'}
        The outputs that `y` has, as in `convolve1d`. 'valid' needs no assumption on what is outside.
    boundary : {'zero', 'fill', 'nearest', 'reflect', 'mirror', 'wrap'}
        How `x` continues outside, as in `convolve1d`.
    fill_value : number
        The value outside, for ``boundary='fill'``.
    ridge : float
        The penalty of large taps, in the unit of ``weights * x ** 2``, for an `x` that does not determine the kernel.
    weights : array_like, optional
        The weight of each sample of `y`, at least 0, of its shape or one that broadcasts to it; by default all are 1.
    symmetric : bool
        Find the best of the kernels that equal their mirror image, ``kernel == numpy.flip(kernel)``.

    Returns
    -------
    KernelFit
        The kernel, with residual, condition and standard errors.

    Raises
    ------
    ValueError
        For empty arrays, a `y` that does not have the shape of the result, samples that are not finite, an unknown mode
        or boundary, a negative `ridge` or weight; and for an `x` that does not determine the kernel, up to rounding,
        such as a constant one.
    TypeError
        For input that does not consist of real numbers, and options of the wrong type.

    See Also
    --------
    fastconv.layers.conv2d_weight_gradient : The gradient, to learn kernels of layers step by step.

    Notes
    -----
    All is computed in float64, relative to the largest samples. Up to 2,000 taps the normal equations are solved by
    their eigenvalues, and refined by residuals. The matrix is exact at the borders, and takes two correlations and the
    products near the borders; with weights, those of all samples. Above a condition of some 1e6 the samples under the
    outputs are decomposed by QR instead; at some 1e12 and more `x` counts as not determining the kernel, and where
    there are too many samples for QR, before. The relative error of a kernel is about ``eps * condition`` or less.

    More taps, and many weighted samples, are found by conjugate gradients with a circulant preconditioner.

    Examples
    --------
    The kernel between a picture and its edges:

    >>> import numpy as np
    >>> import fastconv
    >>> picture = np.random.default_rng(1).integers(0, 256, (64, 64))
    >>> edges = fastconv.convolve2d(picture, [[1, 0, -1], [2, 0, -2], [1, 0, -1]], "same", boundary="reflect")
    >>> fit = fastconv.fit_kernel(picture, edges, (3, 3), boundary="reflect")
    >>> (fit.kernel.round(9) + 0).tolist()
    [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]

    The response of a room to a known, noisy signal, with its error:

    >>> sent = np.random.default_rng(2).standard_normal(5000)
    >>> heard = fastconv.convolve1d(sent, [1, 0, 0.5, 0.25]) + 0.1 * np.random.default_rng(3).standard_normal(5003)
    >>> fit = fastconv.fit_kernel(sent, heard, 4, mode="full")
    >>> fit.kernel.round(2) + 0, fit.standard_errors.round(4)
    (array([1.  , 0.  , 0.5 , 0.25]), array([0.0014, 0.0014, 0.0014, 0.0014]))
    """
    samples, results = _as_real(x, "x"), _as_real(y, "y")
    _pins = pinned(samples, results)
    taps = _as_shape(shape)
    axes = len(taps)
    if samples.ndim < axes:
        raise ValueError(f"x must have at least {axes} dimensions, those of shape; got shape {samples.shape}")
    mode, boundary, _ = as_choices(mode, boundary, "auto", 1)
    penalty, symmetric = _as_ridge(ridge), as_bool(symmetric, "symmetric")
    fill = 0.0
    if boundary == "fill":
        fill = as_finite(fill_value, "fill_value")
    else:
        check_no_fill_value(fill_value)
    extents = samples.shape[-axes:]
    sweeps = as_sweeps(extents, taps, range(axes), mode, boundary)
    check_valid("x", sweeps, mode)
    wanted = (*samples.shape[:-axes], *(sweep.outputs for sweep in sweeps))
    if results.shape != wanted:
        raise ValueError(
            f"y must have shape {wanted}, that of the convolution of x in mode {mode!r}; got {results.shape}"
        )
    given = None if weights is None else _as_weights(weights, wanted)
    free = (math.prod(taps) + 1) // 2 if symmetric else math.prod(taps)
    if penalty == 0 and free > results.size:
        raise ValueError(
            f"y must have at least as many samples as the kernel of this shape has free taps, {free}, without a ridge; "
            f"got {results.size}"
        )
    code = sweeps[0].boundary
    fill = fill if code == FILL else 0.0  # in mode 'valid', a kernel longer than x has zeros outside
    planes, outputs = _planes(samples, axes), _planes(results, axes)
    sizes = zip(planes.shape[1:], outputs.shape[1:], (1, *taps)[-2:])
    down, across = (_Axis.of(*each, mode, code) for each in sizes)
    # Powers of two: what is scaled has the same digits.
    largest = _peak(samples, "x") if down.inside.all() and across.inside.all() else max(_peak(samples, "x"), abs(fill))
    x_exponent, y_exponent = math.frexp(largest)[1], math.frexp(_peak(results, "y"))[1]
    w_exponent = 0 if given is None else math.frexp(_peak(given, "weights"))[1]
    with np.errstate(all="ignore"):
        model = Model(
            _extended(planes, down, across, fill, x_exponent),
            (1, *taps)[-2:],  # type: ignore[arg-type]
            None if given is None else _planes(_scaled(given, w_exponent), axes),
        )
        scaled_ridge = min(_shifted(penalty, -2 * x_exponent - w_exponent), _LARGEST_RIDGE)
        try:
            found = least_squares.solve(model, _scaled(outputs, y_exponent), scaled_ridge, symmetric)
        except least_squares.Undetermined as error:
            needed = _shifted(error.args[0], 2 * x_exponent + w_exponent)
            raise ValueError(
                f"x must determine the taps of a kernel of shape {taps}, but shifted copies of it are linearly "
                f"dependent, at least nearly; pass a smaller shape, or a ridge, for example {needed:.1g}"
            ) from None
        exponent = y_exponent - x_exponent
        return KernelFit(
            np.ldexp(found.taps[::-1, ::-1], exponent).reshape(taps),
            _shifted(found.residual, y_exponent),
            found.condition,
            None if found.errors is None else np.ldexp(found.errors[::-1, ::-1], exponent).reshape(taps),
        )


def _as_real(value, name: str) -> NDArray:
    """Convert to a view of an array of real numbers that is not empty."""
    array = as_array(value, name).view()
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers; got dtype {clipped(array.dtype)}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; got shape {array.shape}")
    return array


def _as_shape(value) -> tuple[int, ...]:
    """Convert the shape of a kernel."""
    allowed = "a positive integer, or a tuple of one or two"
    extents = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(extents) not in (1, 2):
        raise ValueError(f"shape must be {allowed}; got {shown(value)}")
    taps = tuple(as_count(extent, "shape", allowed) for extent in extents)
    if math.prod(taps) > _MOST_TAPS:
        raise ValueError(f"shape must be of at most {_MOST_TAPS} taps; got {shown(value)}")
    return taps


def _as_ridge(value) -> float:
    ridge = as_finite(value, "ridge")
    if ridge < 0:
        raise ValueError(f"ridge must be a number that is not negative; got {shown(value)}")
    return ridge


def _as_weights(value, shape: tuple[int, ...]) -> NDArray:
    """Convert weights to float64; check them."""
    weights = _as_real(value, "weights")
    _pins = pinned(weights)
    try:
        weights = np.broadcast_to(weights, shape)
    except ValueError:
        raise ValueError(
            f"weights must have the shape of y, {shape}, or broadcast to it; got {weights.shape}"
        ) from None
    if not _peak(weights, "weights") or any((weights[chunk] < 0).any() for chunk in chunk_slices(shape)):
        raise ValueError("weights must not be negative, and not all zero")
    return weights


def _peak(array: NDArray, name: str) -> float:
    """The largest absolute value; raise if there is one that is not finite."""
    peak = 0.0
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(array.shape):
            largest = float(np.abs(array[chunk].astype(_DOUBLE)).max())
            if not math.isfinite(largest):
                raise ValueError(f"{name} must be finite, as float64; got {largest}")
            peak = max(peak, largest)
    return peak


def _shifted(number: float, exponent: int) -> float:
    """A number times a power of two, or the largest float."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return float(np.finfo(float).max)


def _scaled(array: NDArray, exponent: int) -> NDArray:
    """An array in float64, divided by a power of two."""
    result = np.empty(array.shape, _DOUBLE)
    for chunk in chunk_slices(array.shape):
        np.ldexp(array[chunk].astype(_DOUBLE), -exponent, out=result[chunk])
    return result


def _planes(array: NDArray, axes: int) -> NDArray:
    """An array of shape (images, rows, columns)."""
    return array.reshape(-1, *(1, *array.shape[-axes:])[-2:])


class _Axis(NamedTuple):
    """Where the samples under all outputs come from, along an axis."""

    sources: NDArray
    inside: NDArray  # whether there is a sample

    @classmethod
    def of(cls, extent: int, outputs: int, taps: int, mode: str, boundary: int) -> _Axis:
        first = span(mode, extent, taps).start - (taps - 1)
        positions = np.arange(first, first + outputs + taps - 1)
        sources = boundary_indices(positions, extent, boundary)
        return cls(sources, (sources == positions) | (boundary not in (ZERO, FILL)))


def _extended(planes: NDArray, down: _Axis, across: _Axis, fill: float, exponent: int) -> NDArray:
    """The samples under all outputs, in float64, divided by a power of two."""
    result = np.empty((len(planes), len(down.sources), len(across.sources)), _DOUBLE)
    for image, rows, columns in chunk_slices(result.shape):
        part = planes[image].take(down.sources[rows], 1).take(across.sources[columns], 2)
        result[image, rows, columns] = np.ldexp(part.astype(_DOUBLE), -exponent)
    outside = math.ldexp(fill, -exponent)
    result[:, ~down.inside] = outside
    result[:, :, ~across.inside] = outside
    return result
