"""Results of layers: by the engines of a route, complex ones by parts, and in other ways what engines cannot take.

All arrays here are of the order (number, channels, rows, columns), whatever their strides are.
"""

from __future__ import annotations

import itertools

import numpy as np

from fastconv._model.layer_problem import Geometry
from fastconv._planning.engine_loader import load
from fastconv._planning.half_precision import SINGLE, is_half, rounded
from fastconv._planning.layers.layer_routes import Fallback, Route, problem_between, route_of, split
from fastconv._planning.layers.layer_weights import Weights
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.interruptible_numpy import add, chunk_slices, converted, copy, is_finite


def apply(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out`, of the type of the result, which shares no memory with the others."""
    if is_half(x.dtype):
        x = converted(x, SINGLE)
    if out.dtype.kind == "c":
        _apply_by_parts(weights, x, out, geometry, workers)
    elif is_half(out.dtype):
        with rounded(out) as single:
            _apply_real(weights.in_single(), x, single, geometry, workers)
    else:
        _apply_real(weights, x, out, geometry, workers)


def real_parts(x: np.ndarray, geometry: Geometry, dtype: np.dtype) -> list[tuple[np.ndarray, Geometry]]:
    """The real arrays that a complex result of `dtype` is made of, each with the geometry that has its fill value."""
    fill = complex(geometry.fill_value)
    if x.dtype.kind != "c" and fill.imag != 0:
        x = converted(x, dtype)
    parts = [(x.real, fill.real), (x.imag, fill.imag)] if x.dtype.kind == "c" else [(x, fill.real)]
    return [(part, geometry._replace(fill_value=value)) for part, value in parts]


def _apply_by_parts(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers) -> None:
    """Fill a complex `out` with products of real and imaginary parts."""
    samples, factors = real_parts(x, geometry, out.dtype), weights.parts()
    part = np.empty(out.shape, out.real.dtype)
    filled = [False, False]
    for (i, (values, here)), (j, factor) in itertools.product(enumerate(samples), enumerate(factors)):
        _apply_real(factor, values, part, here, workers)
        target = (out.real, out.imag)[(i + j) % 2]
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(out.shape):
                if not filled[(i + j) % 2]:
                    target[chunk] = part[chunk]
                elif i + j == 2:
                    target[chunk] -= part[chunk]
                else:
                    target[chunk] += part[chunk]
        filled[(i + j) % 2] = True
    if weights.bias is not None:
        add(out, np.broadcast_to(weights.bias.reshape(-1, 1, 1), out.shape))


def _apply_real(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` with real numbers."""
    layouts = x.dtype, x.shape, x.strides, x.flags.aligned, out.dtype, out.shape, out.strides, out.flags.aligned
    route = route_of(weights.array.shape, *layouts, geometry, True)
    # The product of an infinite weight and a zero outside is a NaN, and so is then an output: where there are fewer of
    # them, only those are looked at.
    looks_at_outputs = route.leaves_out and weights.is_used_once and weights.array.size > out.size
    if (route.leaves_out or route.joins_rows) and not looks_at_outputs and not weights.is_finite():
        route = route_of(weights.array.shape, *layouts, geometry, False)
    if not _apply_by_engines(route, weights, x, out, workers):
        _FALLBACKS[route.otherwise](weights, x, out, geometry, workers)
    if looks_at_outputs and not is_finite(out) and not weights.is_finite():
        _apply_inside(weights, x, out, geometry, workers)


def _apply_by_engines(route: Route, weights: Weights, x: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
    """Fill `out` by the first engine of a route that does; return False if there is none."""
    if route.pixels is not None:
        x, out = split(x, *route.pixels), split(out, *route.pixels)
    for kind in route.engines:
        if listeners:
            notify("layer", problem=route.problem, engine=kind.__name__.rpartition(".")[2])
        if weights.is_used_once and kind is load().layer_engine and kind.packs_weights(route.problem, weights.array):
            engine = kind.engine_of(route.problem, True)
            packed = engine.given(weights.array, weights.bias)
        else:
            engine = kind.engine_of(route.problem)
            packed = weights.packed(engine)
        if engine(x, packed, out, workers):
            return True
    return False


def _apply_to_copy(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill an `out` that engines cannot address."""
    whole = np.empty(out.shape, out.dtype)
    _apply_real(weights, x, whole, geometry, workers)
    copy(out, whole)


def _apply_by_numpy(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` where no engine is compiled for its type."""
    problem = problem_between(weights.array, x, out, geometry)
    load().layer_numpy.run(problem, x, weights.array, weights.bias, out)


def _apply_inside(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` with sums without the taps outside: the product of an infinite weight and a zero would be a NaN.

    The engines leave rows outside out. Here the columns are too: outputs with the same taps inside are one layer.
    """
    taps = weights.array.shape[3]
    step, dilation = geometry.stride[1], geometry.dilation[1]

    def inside(output: int) -> tuple[int, int]:
        first = output * step + geometry.starts[1]
        return min(taps, max(0, -(first // dilation))), max(0, min(taps, (x.shape[3] - 1 - first) // dilation + 1))

    for (low, high), members in itertools.groupby(range(out.shape[3]), inside):
        columns = [*members]
        part = out[..., columns[0] : columns[-1] + 1]
        start = columns[0] * step + geometry.starts[1]
        if low >= high:
            weights.fill_with_bias(part)
            if geometry.rectify:
                rectify(part)
            continue
        trimmed = Weights(weights.array[..., low:high], weights.bias)
        here = geometry._replace(starts=(geometry.starts[0], start + low * dilation))
        sums = np.empty(part.shape, part.dtype)
        _apply_real(trimmed, x, sums, here, workers)
        copy(part, sums)


def _apply_in_parts(weights: Weights, x, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` with the sum of layers of some rows and columns of the kernel, short enough for one sum each."""
    most = load().channelwise_engine.MOST_PRODUCTS
    _, size, height, width = weights.array.shape
    columns = min(width, most // size)
    rows = max(1, most // (size * columns))
    part = None
    for i, j in itertools.product(range(0, height, rows), range(0, width, columns)):
        piece = weights.array[:, :, i : i + rows, j : j + columns]
        starts = geometry.starts[0] + i * geometry.dilation[0], geometry.starts[1] + j * geometry.dilation[1]
        here = geometry._replace(starts=starts, rectify=False, by_spectra=False)
        if part is None:
            _apply_real(Weights(piece, weights.bias, weights), x, out, here, workers)
            part = np.empty_like(out)
            continue
        _apply_real(Weights(piece, None, weights), x, part, here, workers)
        add(out, part)
    if geometry.rectify:
        rectify(out)


_FALLBACKS = {
    Fallback.COPY: _apply_to_copy,
    Fallback.INSIDE: _apply_inside,
    Fallback.PARTS: _apply_in_parts,
    Fallback.NUMPY: _apply_by_numpy,
}


def rectify(out: np.ndarray) -> None:
    """Replace negative numbers by 0; NaN stays."""
    for chunk in chunk_slices(out.shape):
        part = out[chunk]
        part[part < 0] = 0
