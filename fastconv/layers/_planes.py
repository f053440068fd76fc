"""Layers of one and three axes by those of two."""

from __future__ import annotations

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.geometry import FILL, ZERO
from fastconv._planning.layer_plans import Geometry, Weights, apply
from fastconv._runtime.interruptible_numpy import chunk_slices
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
    start, stride, dilation = starts[0], options.stride[0], options.dilation[0]
    depth, taps = out.shape[2], weights.array.shape[2]
    if options.boundary != ZERO:
        x, start = _extended(x, start, (depth - 1) * stride + (taps - 1) * dilation + 1, options, out), 0
    geometry = geometry_of(starts, options)._replace(rectify=False)
    for chunk in chunk_slices(out.shape):
        out[chunk] = 0 if weights.bias is None else weights.bias[chunk[1]].reshape(-1, 1, 1, 1)
    for tap in range(taps):
        plane = Weights(weights.array[:, :, tap])
        shift = start + tap * dilation
        first = max(0, -(shift // stride))
        stop = min(depth, (x.shape[2] - 1 - shift) // stride + 1)
        if first >= stop:
            continue
        source = x[:, :, first * stride + shift : (stop - 1) * stride + shift + 1 : stride].swapaxes(1, 2)
        target = out[:, :, first:stop].swapaxes(1, 2)
        for volume, sums in zip(source, target):
            part = np.empty(sums.shape, out.dtype)
            apply(plane, volume, part, geometry, workers)
            with np.errstate(all="ignore"):
                for chunk in chunk_slices(part.shape):
                    sums[chunk] += part[chunk]
    if options.rectify:
        for chunk in chunk_slices(out.shape):
            out[chunk][out[chunk] < 0] = 0


def _extended(x: np.ndarray, start: int, count: int, options: Options, out: np.ndarray) -> np.ndarray:
    """The planes from `start` on, as the boundary extends a volume."""
    positions = np.arange(start, start + count)
    indices = boundary_indices(positions, x.shape[2], options.boundary)
    if options.boundary != FILL:
        return x.take(indices, 2)
    fill = options.fill_value
    if out.dtype.kind == "c" and x.dtype.kind != "c" and fill.imag == 0:
        taken, fill = x.take(indices, 2).astype(out.real.dtype), fill.real
    else:
        taken = x.take(indices, 2).astype(out.dtype)
    taken[:, :, positions != indices] = fill
    return taken
