"""Layers of one and three axes by those of two."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.geometry import FILL, ZERO, reach
from fastconv._model.layer_problem import Geometry
from fastconv._planning.half_precision import SINGLE, is_half, rounded
from fastconv._planning.layers import layer_gradients
from fastconv._planning.layers.forward_pass import apply, rectify
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import add, chunk_slices, converted, copy
from fastconv.layers._arguments import Options


def apply_planes(
    weights: Weights, x: np.ndarray, out: np.ndarray, starts: tuple[int, ...], options: Options, workers: int | None
) -> None:
    """Fill `out`; arrays are of the order (number, channels, ...), those of weights as `planar` returns them."""
    if options.axes == 3:
        _apply_volumes(weights, x, out, starts, options, workers)
        return
    if options.axes == 1:
        row = (slice(None), slice(None), np.newaxis)
        x, out = x[row], out[row]
    apply(weights, x, out, geometry_of(starts, options), workers)


def planar(weights: np.ndarray) -> np.ndarray:
    """Weights of one axis as those of two."""
    return weights[:, :, np.newaxis] if weights.ndim == 3 else weights


def geometry_of(starts: tuple[int, ...], options: Options) -> Geometry:
    """Geometry of a layer along its last two axes; one row if it has a single axis."""
    if options.boundary != FILL:
        return _kept_geometry(starts, options)
    # Fill values of different types may be equal, as are 2.0 and 2 + 0j: only one of them would be kept.
    return _kept_geometry(starts, options._replace(fill_value=0))._replace(fill_value=options.fill_value)


@kept
def _kept_geometry(starts: tuple[int, ...], options: Options) -> Geometry:
    return Geometry(
        starts=(0, *starts)[-2:],  # type: ignore[arg-type]
        stride=(1, *options.stride)[-2:],  # type: ignore[arg-type]
        dilation=(1, *options.dilation)[-2:],  # type: ignore[arg-type]
        groups=options.groups,
        boundary=options.boundary,
        fill_value=options.fill_value,
        rectify=options.rectify,
    )


def _apply_volumes(weights: Weights, x, out, starts, options: Options, workers) -> None:
    """Fill `out`: for each plane of the kernels, add a 2-D layer of the planes below it."""
    if is_half(out.dtype):
        with rounded(out) as single:
            _apply_volumes(weights.in_single(), converted(x, SINGLE), single, starts, options, workers)
        return
    start, stride, dilation = starts[0], options.stride[0], options.dilation[0]
    depth, taps = out.shape[2], weights.array.shape[2]
    x, start = _extended(x, start, (depth - 1) * stride + reach(taps, dilation), options, out)
    geometry = geometry_of(starts, options)._replace(rectify=False)
    weights.fill_with_bias(out)
    for tap, planes, places in _pairs(taps, start, depth, x.shape[2], options):
        plane = Weights(weights.array[:, :, tap])
        for source, target in zip(x[:, :, places].swapaxes(1, 2), out[:, :, planes].swapaxes(1, 2)):
            part = np.empty(target.shape, out.dtype)
            apply(plane, source, part, geometry, workers)
            add(target, part)
    if options.rectify:
        rectify(out)


def _extended(x: np.ndarray, start: int, count: int, options: Options, out: np.ndarray) -> tuple[np.ndarray, int]:
    """A volume with all planes that are needed from `start` on, as the boundary extends it, and the first of these."""
    depth, fill = x.shape[2], options.fill_value
    if options.boundary == ZERO or (start >= 0 and start + count <= depth):
        return x, start
    positions = np.arange(start, start + count)
    sources = boundary_indices(positions, depth, options.boundary)
    fills, dtype = options.boundary == FILL, x.dtype
    if fills:
        is_real = out.dtype.kind == "c" and x.dtype.kind != "c" and fill.imag == 0
        dtype, fill = (out.real.dtype, fill.real) if is_real else (out.dtype, fill)
    extended = np.empty((*x.shape[:2], count, *x.shape[3:]), dtype)
    with np.errstate(all="ignore"):
        for chunk in chunk_slices(extended.shape):
            planes = chunk[2]
            # By an index, since `take` copies the whole of an array that is not contiguous.
            taken: tuple = (*chunk[:2], sources[planes], *chunk[3:])
            extended[chunk] = x[taken]
            if fills:
                extended[chunk][:, :, positions[planes] != sources[planes]] = fill
    return extended, 0


def input_gradient(
    weights: Weights, gradient: np.ndarray, out: np.ndarray, starts: tuple[int, ...], options: Options, workers
) -> None:
    """Fill `out`, of the shape of the input, with the gradient of a layer; a bias is added to it."""
    if is_half(out.dtype):
        with rounded(out) as single:
            input_gradient(weights.in_single(), converted(gradient, SINGLE), single, starts, options, workers)
        return
    if options.axes == 1:
        row = (slice(None), slice(None), np.newaxis)
        gradient, out = gradient[row], out[row]
    if options.axes < 3:
        layer_gradients.input_gradient(weights, gradient, out, geometry_of(starts, options), workers)
        return
    needed = (gradient.shape[2] - 1) * options.stride[0] + reach(weights.array.shape[2], options.dilation[0])
    added = layer_gradients.margins(out.shape[2], starts[0], needed, options.boundary)
    whole = layer_gradients.padded_like(out, ((0, 0), (0, 0), added, (0, 0), (0, 0))) if any(added) else out
    start = starts[0] + added[0]
    weights.fill_with_bias(whole)
    for tap, planes, places in _pairs(weights.array.shape[2], start, gradient.shape[2], whole.shape[2], options):
        plane = Weights(weights.array[:, :, tap])
        for source, target in zip(gradient[:, :, planes].swapaxes(1, 2), whole[:, :, places].swapaxes(1, 2)):
            part = np.empty(target.shape, out.dtype)
            layer_gradients.input_gradient(plane, source, part, geometry_of(starts, options), workers)
            add(target, part)
    if whole is not out:
        copy(out, layer_gradients.fold(whole, 2, added, options.boundary))


def weight_gradient(
    x: np.ndarray, gradient: np.ndarray, out: np.ndarray, starts: tuple[int, ...], options: Options, workers
) -> None:
    """Fill `out`, contiguous and of the shape of the weights, with the gradient of a layer."""
    if is_half(out.dtype):
        with rounded(out) as single:
            weight_gradient(converted(x, SINGLE), converted(gradient, SINGLE), single, starts, options, workers)
        return
    if options.axes == 1:
        row = (slice(None), slice(None), np.newaxis)
        x, gradient, out = x[row], gradient[row], out[row]
    if options.axes < 3:
        layer_gradients.weight_gradient(x, gradient, out, geometry_of(starts, options), workers)
        return
    start, taps = starts[0], out.shape[2]
    needed = (gradient.shape[2] - 1) * options.stride[0] + reach(taps, options.dilation[0])
    x, start = _extended(x, start, needed, options, out)
    out[...] = 0
    part = np.empty((*out.shape[:2], *out.shape[3:]), out.dtype)
    for tap, planes, places in _pairs(taps, start, gradient.shape[2], x.shape[2], options):
        for source, slopes in zip(x[:, :, places].swapaxes(1, 2), gradient[:, :, planes].swapaxes(1, 2)):
            layer_gradients.weight_gradient(source, slopes, part, geometry_of(starts, options), workers)
            add(out[:, :, tap], part)


def _pairs(taps: int, start: int, outputs: int, samples: int, options: Options) -> Iterator[tuple[int, slice, slice]]:
    """For each tap along the first of three axes, the outputs that it meets samples for, and those samples."""
    stride, dilation = options.stride[0], options.dilation[0]
    for tap in range(taps):
        shift = start + tap * dilation
        first = max(0, -(shift // stride))
        stop = min(outputs, (samples - 1 - shift) // stride + 1)
        if first < stop:
            yield (
                tap,
                slice(first, stop),
                slice(first * stride + shift, (stop - 1) * stride + shift + 1, stride),
            )
