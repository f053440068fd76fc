"""Gradients of 2-D layers, of arrays in the order (number, channels, rows, columns).

Both are adjoints: complex weights and inputs are conjugated.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, Sequence

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.checks import fits_into_memory
from fastconv._model.geometry import FILL, ZERO, reach
from fastconv._model.layer_problem import Geometry, problem_of
from fastconv._planning.engine_loader import load
from fastconv._planning.half_precision import SINGLE, is_half
from fastconv._planning.layers.forward_pass import apply, real_parts
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.interruptible_numpy import add, converted, copy, is_finite


class _Phase(NamedTuple):
    """The samples of an axis that the same taps meet: every stride-th, and a layer of stride 1 that gives them."""

    first: int  # sample
    taps: range  # of the kernel, in the order of the samples of the gradient
    start: int
    dilation: int


def _phases(extent: int, start: int, stride: int, dilation: int, taps: int) -> tuple[_Phase, ...]:
    """Phases of an axis of `extent` samples: those that have a tap, or both of stride 2, which engines take together.

    Sample ``stride * q + first`` meets tap ``i`` at output ``r`` where ``r * stride + start + i * dilation`` is that
    sample: every ``period``-th tap, from some tap on, at outputs that are a fixed number apart.
    """
    if stride == 1:
        return (_Phase(0, range(taps)[::-1], -start - (taps - 1) * dilation, dilation),)
    period = stride // math.gcd(stride, dilation)
    apart = period * dilation // stride
    first_taps = {(start + tap * dilation) % stride: tap for tap in range(min(period, taps))}
    found = []
    for first in range(2) if stride == 2 else sorted(first_taps):
        if first < extent:
            tap = first_taps.get(first, taps)
            chosen = range(tap, taps, period)
            output = (first - start - tap * dilation) // stride
            found.append(_Phase(first, chosen[::-1], output - (len(chosen) - 1) * apart, apart))
    return tuple(found)


def input_gradient(
    weights: Weights, gradient: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None
) -> None:
    """Fill `out`, of the shape of the input, with the gradient of a layer to it; the bias is added to it."""
    if geometry.boundary != ZERO:
        _folded(weights, gradient, out, geometry, workers)
        return
    groups, kernels = geometry.groups, weights.array
    outputs, channels, rows, columns = kernels.shape
    flipped = kernels.reshape(groups, outputs // groups, channels, rows, columns).swapaxes(1, 2)
    flipped = flipped.reshape(groups * channels, outputs // groups, rows, columns)
    if flipped.dtype.kind == "c":
        flipped = flipped.conj()
    steps = zip(out.shape[2:], geometry.starts, geometry.stride, geometry.dilation, (rows, columns))
    down, across = (_phases(*values) for values in steps)

    if _is_upsampled(weights, gradient, out, geometry, down, across, workers):
        return

    def fill(rows: _Phase, columns: _Phase, target: np.ndarray) -> None:
        if not (rows.taps and columns.taps):
            weights.fill_with_bias(target)
            return
        phase = Weights(flipped[:, :, _sliced(rows.taps), _sliced(columns.taps)], weights.bias, weights, True)
        there = Geometry((rows.start, columns.start), dilation=(rows.dilation, columns.dilation), groups=groups)
        apply(phase, gradient, target, there, workers)

    if len(down) < min(out.shape[2], geometry.stride[0]) or len(across) < min(out.shape[3], geometry.stride[1]):
        weights.fill_with_bias(out)
    interleaving = load().interleaving
    halves: list[np.ndarray] = []
    for rows_of in down:
        lines = out[:, :, rows_of.first :: geometry.stride[0]]
        if geometry.stride[1] == len(across) == 2 and interleaving.supports(lines):
            # Results of one phase are apart from each other, which no engine can store.
            halves = halves or [np.empty(lines[..., side.first :: 2].shape, out.dtype) for side in across]
            parts = [half[:, :, : lines.shape[2]] for half in halves]
            for side, part in zip(across, parts):
                fill(rows_of, side, part)
            interleaving.interleave(*parts, lines, workers)
            continue
        for side in across:
            fill(rows_of, side, lines[..., side.first :: geometry.stride[1]])


def _is_upsampled(
    weights: Weights,
    gradient: np.ndarray,
    out: np.ndarray,
    geometry: Geometry,
    down: tuple[_Phase, ...],
    across: tuple[_Phase, ...],
    workers: int | None,
) -> bool:
    """Fill `out` with all phases at once, if there is an engine for that; return whether there is."""
    is_depthwise = weights.array.shape[:2] == (geometry.groups, 1)
    has_phases = geometry.stride == (len(down), len(across)) == (2, 2)
    if not is_depthwise or not has_phases or geometry.dilation != (1, 1):
        return False
    engine = load().depthwise_upsampling
    rows, columns = (
        tuple(engine.Taps(tuple(phase.taps), phase.start) for phase in phases) for phases in (down, across)
    )
    is_last = out.strides[3] != out.itemsize
    problem = engine.UpsamplingProblem(gradient.dtype, out.dtype, gradient.shape, out.shape[2:], rows, columns, is_last)
    if not engine.supports(problem, out) or not weights.is_finite():
        return False
    if listeners:
        notify("layer", problem=problem.layer(), engine=engine.__name__.rpartition(".")[2])
    found = engine.engine_of(problem)
    found(gradient, found.pack(weights.array, weights.bias), out, workers)
    return True


def _sliced(taps: range) -> slice:
    """The slice of these indices."""
    return slice(taps.start, taps.stop if taps.stop >= 0 else None, taps.step)


def _folded(weights: Weights, gradient: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """`input_gradient` with a boundary: add the gradient of each sample of padding to its source."""
    axes = zip(out.shape[2:], geometry.starts, geometry.stride, geometry.dilation, weights.array.shape[2:])
    needed = [
        (extent, start, (outputs - 1) * stride + reach(taps, dilation))
        for outputs, (extent, start, stride, dilation, taps) in zip(gradient.shape[2:], axes)
    ]
    down, across = (margins(*values, geometry.boundary) for values in needed)
    starts = geometry.starts[0] + down[0], geometry.starts[1] + across[0]
    inside = geometry._replace(starts=starts, boundary=ZERO, fill_value=0)
    if not (any(down) or any(across)):
        input_gradient(weights, gradient, out, inside, workers)
        return
    whole = padded_like(out, ((0, 0), (0, 0), down, across))
    input_gradient(weights, gradient, whole, inside, workers)
    whole = fold(whole, 2, down, geometry.boundary)
    copy(out, fold(whole, 3, across, geometry.boundary))


def margins(extent: int, start: int, needed: int, boundary: int) -> tuple[int, int]:
    """Samples before and after an axis that have a source inside it, of those needed from `start` on."""
    if boundary in (ZERO, FILL):
        return 0, 0
    return max(0, -start), max(0, start + needed - extent)


def padded_like(out: np.ndarray, added: Sequence[tuple[int, int]]) -> np.ndarray:
    """A new array in the memory order of `out`, with so many samples before and after each axis."""
    shape = tuple(extent + before + after for extent, (before, after) in zip(out.shape, added))
    if not fits_into_memory(shape, out.dtype):
        raise ValueError(f"padding must give an array that fits into memory; it gives shape {shape}")
    return np.empty_like(out, shape=shape, subok=False)


def fold(whole: np.ndarray, axis: int, added: tuple[int, int], boundary: int) -> np.ndarray:
    """Add the padding along an axis to the samples that it repeats, in place; return the view without padding."""
    before, after = added
    samples = np.moveaxis(whole, axis, 0)
    extent = len(samples) - before - after
    inside = samples[before : before + extent]
    positions = np.concatenate((np.arange(-before, 0), np.arange(extent, extent + after)))
    for position, source in zip(positions.tolist(), boundary_indices(positions, extent, boundary).tolist()):
        add(inside[source], samples[before + position])
    return np.moveaxis(inside, 0, axis)


def weight_gradient(
    x: np.ndarray, gradient: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None
) -> None:
    """Fill `out`, of the shape of the weights, with the gradient of a layer to them."""
    if out.dtype.kind == "c":
        # conj(a + bi) (c + di) = (ac + bd) + (ad - bc) i
        samples = real_parts(x, geometry, out.dtype)
        gradients = (gradient.real, gradient.imag) if gradient.dtype.kind == "c" else (gradient,)
        part = np.empty(out.shape, out.real.dtype)
        out[...] = 0
        with np.errstate(all="ignore"):
            for (i, (values, here)), (j, factor) in itertools.product(enumerate(samples), enumerate(gradients)):
                _real_weight_gradient(values, factor, part, here, workers)
                target = out.real if i == j else out.imag
                target += -part if (i, j) == (1, 0) else part
    else:
        _real_weight_gradient(x, gradient, out, geometry, workers)


def _real_weight_gradient(
    x, gradient, out, geometry: Geometry, workers: int | None, leaves_rows_out: bool = False
) -> None:
    """Fill `out`, contiguous, with real numbers; by an engine that leaves rows outside out, if it has to."""
    x, gradient = (converted(array, SINGLE) if is_half(array.dtype) else array for array in (x, gradient))
    layer = problem_of(out, x, gradient.shape[2:], out.dtype, geometry)
    engines = load()
    if not engines.layer_input.supports(layer) or gradient.dtype.char == "g":
        engines.layer_numpy.weight_gradient(layer, x, gradient, out)
        return
    problem = engines.weight_gradient.GradientProblem(layer, gradient.dtype)
    is_planewise = not leaves_rows_out and engines.planewise_gradient.supports(problem, gradient)
    engine = (engines.planewise_gradient if is_planewise else engines.weight_gradient).engine_of(problem)
    engine(x, gradient, out, workers)
    # The product of an infinite gradient and a zero outside is a NaN, and so is then a sum: both are searched, the
    # smaller array first.
    looks_outside = layer.looks_outside(1) or (is_planewise and layer.looks_outside(0))
    small, large = (out, gradient) if out.size < gradient.size else (gradient, out)
    if looks_outside and layer.boundary == ZERO and layer.sums.kind == gradient.dtype.kind == "f":
        if not is_finite(small) and not is_finite(large):
            _weight_gradient_inside(x, gradient, out, geometry, workers)


def _weight_gradient_inside(x, gradient, out, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` without the products of samples outside: that of an infinite gradient and a zero would be a NaN.

    An engine leaves rows outside out. Here the columns are too, one tap at a time.
    """
    stride = geometry.stride[1]
    for tap in range(out.shape[3]):
        shift = geometry.starts[1] + tap * geometry.dilation[1]
        first = max(0, -(shift // stride))
        stop = min(gradient.shape[3], (x.shape[3] - 1 - shift) // stride + 1)
        part = np.zeros((*out.shape[:3], 1), out.dtype)
        if first < stop:
            here = geometry._replace(starts=(geometry.starts[0], first * stride + shift))
            _real_weight_gradient(x, gradient[..., first:stop], part, here, workers, True)
        out[..., tap : tap + 1] = part
