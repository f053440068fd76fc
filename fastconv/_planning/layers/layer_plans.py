"""Layers: weights and their packings; complex numbers by parts; what engines cannot take as it is.

All arrays here are of the order (number, channels, rows, columns), whatever their strides are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastconv._model.geometry import FILL, ZERO
from fastconv._model.layer_problem import LayerProblem, has_lines, has_pixels
from fastconv._planning import engine_loader
from fastconv._planning.half_precision import SINGLE, is_half, rounded
from fastconv._runtime.borrowed_arrays import array_at
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._runtime.interruptible_numpy import chunk_slices, converted, copy, is_finite
from fastconv._runtime.signals import deferred


class Engines(NamedTuple):
    """Modules of `_engines` for layers."""

    forward: ModuleType
    channelwise: ModuleType
    planewise: ModuleType
    spectral: ModuleType
    gradient: ModuleType
    depthwise_gradient: ModuleType
    upsampling: ModuleType
    interleaving: ModuleType
    by_numpy: ModuleType
    supports: Any


_engines: Engines | None = None


def load() -> Engines:
    """Import the engines of layers at first use, atomically, as `engine_loader.load` imports the others."""
    global _engines
    if _engines is None:
        with engine_loader.compiler_lock(), deferred():
            from fastconv._engines.layers import (
                channelwise_engine,
                depthwise_gradient,
                depthwise_upsampling,
                interleaving,
                layer_engine,
                layer_input,
                layer_numpy,
                planewise_engine,
                spectral_engine,
                weight_gradient,
            )

            _engines = Engines(
                layer_engine,
                channelwise_engine,
                planewise_engine,
                spectral_engine,
                weight_gradient,
                depthwise_gradient,
                depthwise_upsampling,
                interleaving,
                layer_numpy,
                layer_input.supports,
            )
    return _engines


def result_type(x: np.dtype, weights: np.dtype) -> np.dtype:
    """Type of a layer's result: that of NumPy, but int32 for integers of 8 bits, int64 or uint64 for wider ones."""
    if x.kind in "biu" and weights.kind in "biu":
        if x.itemsize == weights.itemsize == 1:
            return np.dtype(np.int32)
        wide = any(dtype.kind == "u" and dtype.itemsize == 8 for dtype in (x, weights))
        return np.dtype(np.uint64 if wide else np.int64)
    return np.result_type(x, weights)


class Geometry(NamedTuple):
    """Where a layer finds the samples of an output, and what else its result depends on."""

    starts: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    boundary: int = ZERO
    fill_value: Any = 0
    rectify: bool = False
    by_spectra: bool = True  # whether errors may be relative to samples beyond those under the kernel


class Weights:
    """Weights of shape (outputs, channels of a group, rows, columns) and a bias; what is made of them is kept.

    A bias is of the type of the result. Weights that are a view of others are finite if those are. Those of a single
    call may be packed by the units of the layer, which keep nothing.
    """

    def __init__(
        self,
        array: np.ndarray,
        bias: np.ndarray | None = None,
        whole: Weights | None = None,
        is_used_once: bool = False,
    ):
        self.array, self.bias, self._whole, self.is_used_once = array, bias, whole, is_used_once
        self._packed: dict[tuple, Any] = {}
        self._is_finite: bool | None = None
        self._parts: tuple[Weights, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights and of what is made of them."""
        own = self.array.nbytes + (0 if self.bias is None else self.bias.nbytes)
        return own + sum(packed.nbytes for packed in self._packed.values()) + sum(part.nbytes for part in self._parts)

    def packed(self, engine: Any) -> Any:
        """The weights as an engine reads them."""
        found = self._packed.get(engine.packing)
        if found is None:
            found = self._packed[engine.packing] = engine.pack(self.array, self.bias, not self.is_used_once)
        return found

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        if self._is_finite is None:
            self._is_finite = is_finite(self.array) if self._whole is None else self._whole.is_finite()
        return self._is_finite

    def parts(self) -> tuple[Weights, ...]:
        """The real and the imaginary part, without the bias."""
        if not self._parts:
            self._parts = Weights(self.array.real), Weights(self.array.imag)
        return self._parts

    def in_single(self) -> Weights:
        """The weights, with their bias, in single precision."""
        if not self._parts:
            bias = None if self.bias is None else converted(self.bias, SINGLE)
            self._parts = (Weights(converted(self.array, SINGLE), bias),)
        return self._parts[0]


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


def _apply_by_parts(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers) -> None:
    """Fill a complex `out` with products of real and imaginary parts."""
    fill = complex(geometry.fill_value)
    if x.dtype.kind != "c" and fill.imag != 0:
        x = converted(x, out.dtype)
    samples = [(x.real, fill.real), (x.imag, fill.imag)] if x.dtype.kind == "c" else [(x, fill.real)]
    factors = weights.parts() if weights.array.dtype.kind == "c" else (weights_without_bias(weights),)
    part = np.empty(out.shape, out.real.dtype)
    filled = [False, False]
    for (i, (values, value)), (j, factor) in itertools.product(enumerate(samples), enumerate(factors)):
        _apply_real(factor, values, part, geometry._replace(fill_value=value), workers)
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
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(out.shape):
                out[chunk] += weights.bias[chunk[1]].reshape(-1, 1, 1)


def weights_without_bias(weights: Weights) -> Weights:
    """The same weights without their bias."""
    return weights if weights.bias is None else Weights(weights.array)


def _apply_real(weights: Weights, x: np.ndarray, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` with real numbers."""
    layouts = x.dtype, x.shape, x.strides, x.flags.aligned, out.dtype, out.shape, out.strides, out.flags.aligned
    route = _route(weights.array.shape, *layouts, geometry, True)
    # The product of an infinite weight and a zero outside is a NaN, and so is then an output: where there are fewer of
    # them, only those are looked at.
    looks_at_outputs = route.leaves_out and weights.is_used_once and weights.array.size > out.size
    if (route.leaves_out or route.joins_rows) and not looks_at_outputs and not weights.is_finite():
        route = _route(weights.array.shape, *layouts, geometry, False)
    if not _apply_by_engines(route, weights, x, out, workers):
        route.otherwise(weights, x, out, geometry, workers)
    if looks_at_outputs and not is_finite(out) and not weights.is_finite():
        _apply_inside(weights, x, out, geometry, workers)


def _apply_by_engines(route: Route, weights: Weights, x: np.ndarray, out: np.ndarray, workers: int | None) -> bool:
    """Fill `out` by the first engine of a route that does; return False if there is none."""
    if route.pixels is not None:
        x, out = _split(x, *route.pixels), _split(out, *route.pixels)
    for kind in route.engines:
        if listeners:
            notify("layer", problem=route.problem, engine=kind.__name__.rpartition(".")[2])
        if weights.is_used_once and kind is load().forward and kind.packs_weights(route.problem, weights.array):
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
    load().by_numpy.run(_problem(weights.array, x, out, geometry), x, weights.array, weights.bias, out)


class Route(NamedTuple):
    """How layers of one geometry are computed, from and to arrays of certain layouts."""

    otherwise: Callable[..., None]  # what fills the output if no engine does
    problem: LayerProblem | None = None
    engines: tuple[ModuleType, ...] = ()  # asked one after the other
    pixels: tuple[tuple[int, ...], tuple[int, int]] | None = None  # how `_split` arranges both arrays for the engines
    # Whether weights that are not finite take another route: since taps outside are left out, or rows are joined.
    leaves_out: bool = False
    joins_rows: bool = False


@kept
def _route(
    kernels: tuple[int, ...],
    x_dtype: np.dtype,
    x_shape: tuple[int, ...],
    x_strides: tuple[int, ...],
    x_aligned: bool,
    dtype: np.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    aligned: bool,
    geometry: Geometry,
    is_finite: bool,
) -> Route:
    """The route of a layer with weights of the shape `kernels`: to find it takes as long as a small layer."""
    # Arrays of these layouts, whose memory nothing accesses, with room for negative strides before them.
    line = 1 << 60
    x = array_at(line + (not x_aligned), x_dtype, x_shape, x_strides)
    out = array_at(line + (not aligned), dtype, shape, strides)
    weights = array_at(line, dtype, kernels, (0,) * len(kernels))
    if not _is_addressable(out):
        return Route(_apply_to_copy)
    problem = _problem(weights, x, out, geometry)
    leaves_out = geometry.boundary == ZERO and problem.sums.kind == "f" and problem.looks_outside(1)
    if leaves_out and not is_finite:
        return Route(_apply_inside)
    pixels = None
    if problem.kernel == geometry.stride == (1, 1) and geometry.starts == (0, 0) and x.shape[2:] == out.shape[2:]:
        pixels = _long_rows(x, out)
        if pixels is not None:
            problem = _problem(weights, _split(x, *pixels), _split(out, *pixels), geometry)
    engines = load()
    if not engines.supports(problem):
        return Route(_apply_by_numpy, leaves_out=leaves_out)
    kinds = _forward_engines(engines, problem, geometry.by_spectra, is_finite)
    joins_rows = kinds[-1] is engines.planewise and engines.planewise.joins_rows(problem)
    if engines.channelwise.needs_parts(problem):
        kinds = kinds[:-1]
    return Route(_apply_in_parts, problem, kinds, pixels, leaves_out, joins_rows)


def _forward_engines(
    engines: Engines, problem: LayerProblem, by_spectra: bool, is_finite: bool
) -> tuple[ModuleType, ...]:
    """The fastest engine of a layer, and where that leaves results to another, the one that does not."""
    planewise = engines.planewise
    kind = engines.channelwise if engines.channelwise.supports(problem) else engines.forward
    if (
        planewise.supports(problem)
        and planewise.is_faster(problem)
        and (is_finite or not planewise.joins_rows(problem))
    ):
        kind = planewise
    if by_spectra and engines.spectral.supports(problem) and engines.spectral.is_faster(problem):
        return engines.spectral, kind
    return (kind,)


def _problem(weights: np.ndarray, x: np.ndarray, out: np.ndarray, geometry: Geometry) -> LayerProblem:
    problem = problem_of(weights, x, out.shape[2:], out.dtype, geometry)
    return problem._replace(
        channels_last=out.strides[3] != out.itemsize,
        has_pixels=has_pixels(x),
        has_lines=has_lines(x),
        stores_pixels=has_pixels(out),
    )


def problem_of(weights: np.ndarray, x: np.ndarray, out_size, sums: np.dtype, geometry: Geometry) -> LayerProblem:
    """The problem of a layer for arrays of these types and sizes; one that looks outside nowhere has no boundary."""
    boundary = geometry.boundary
    problem = LayerProblem(
        x_dtype=x.dtype,
        sums=sums,
        x_shape=x.shape,
        outputs=weights.shape[0],
        kernel=weights.shape[2:],
        out_size=out_size,
        starts=geometry.starts,
        stride=geometry.stride,
        dilation=geometry.dilation,
        groups=geometry.groups,
        boundary=boundary,
        fill_value=geometry.fill_value if boundary == FILL else 0,
        rectify=geometry.rectify,
        channels_last=False,
    )
    if boundary != ZERO and not (problem.looks_outside(0) or problem.looks_outside(1)):
        problem = problem._replace(boundary=ZERO, fill_value=0)
    return problem


def _is_addressable(out: np.ndarray) -> bool:
    """Whether an engine can store into an array: aligned, with columns or channels side by side."""
    aligned = out.flags.aligned and not any(stride % out.itemsize for stride in out.strides)
    return aligned and out.dtype.isnative and (out.itemsize in (out.strides[3], out.strides[1]))


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
            part[...] = 0 if weights.bias is None else weights.bias.reshape(-1, 1, 1)
            if geometry.rectify:
                part[part < 0] = 0
            continue
        trimmed = Weights(weights.array[..., low:high], weights.bias)
        here = geometry._replace(starts=(geometry.starts[0], start + low * dilation))
        sums = np.empty(part.shape, part.dtype)
        _apply_real(trimmed, x, sums, here, workers)
        copy(part, sums)


def _apply_in_parts(weights: Weights, x, out: np.ndarray, geometry: Geometry, workers: int | None) -> None:
    """Fill `out` with the sum of layers of some rows and columns of the kernel, short enough for one sum each."""
    most = load().channelwise.MOST_PRODUCTS
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
        with np.errstate(all="ignore"):
            for chunk in chunk_slices(out.shape):
                out[chunk] += part[chunk]
    if geometry.rectify:
        for chunk in chunk_slices(out.shape):
            piece = out[chunk]
            piece[piece < 0] = 0


def _long_rows(x: np.ndarray, out: np.ndarray) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """Axes of pixels to merge, and rows and columns to split them into, for a layer that takes each pixel by itself.

    Rows are long enough for tiles. Merged axes of one sample may leave an output with pixels apart from each other.
    """
    number, _, height, width = x.shape
    for axes in ((0, 2, 3), (2, 3)):
        if all(_is_mergeable(array, axes) for array in (x, out)):
            merged = height * width * (number if axes[0] == 0 else 1)
            columns = next((n for n in range(64, 13, -1) if merged % n == 0), merged if merged <= 512 else width)
            shape = merged // columns, columns
            if _is_addressable(_split(out, axes, shape)):
                return axes, shape
    return None


def _is_mergeable(array: np.ndarray, axes: tuple[int, ...]) -> bool:
    """Whether axes can become one without a copy."""
    steps = [(array.shape[axis], array.strides[axis]) for axis in axes if array.shape[axis] > 1]
    return all(outer[1] == inner[0] * inner[1] for outer, inner in itertools.pairwise(steps))


def _split(array: np.ndarray, axes: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
    """A view with `axes` merged, and split into rows and columns."""
    channels = array.shape[1]
    if axes[0] == 0:
        return array.transpose(1, 0, 2, 3).reshape(channels, 1, *shape).transpose(1, 0, 2, 3)
    return array.reshape(array.shape[0], channels, *shape)
