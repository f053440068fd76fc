"""Which engines compute a layer, and what does if none of them can: decided from types, shapes and strides alone.

All arrays here are of the order (number, channels, rows, columns), whatever their strides are.
"""

from __future__ import annotations

import enum
import itertools
from types import ModuleType
from typing import NamedTuple

import numpy as np

from fastconv._model.geometry import ZERO
from fastconv._model.layer_problem import Geometry, LayerProblem, has_lines, has_pixels, is_aligned, problem_of
from fastconv._planning.engine_loader import Engines, load
from fastconv._runtime.borrowed_arrays import array_at
from fastconv._runtime.bounded_cache import kept


class Fallback(enum.Enum):
    """What fills an output that no engine of a route fills."""

    COPY = "another array, which engines can address, and a copy of it"
    INSIDE = "layers of the taps inside the image"
    PARTS = "the sum of layers of parts of the kernel"
    NUMPY = "NumPy"


class Route(NamedTuple):
    """How layers of one geometry are computed, from and to arrays of certain layouts."""

    otherwise: Fallback
    problem: LayerProblem | None = None
    engines: tuple[ModuleType, ...] = ()  # asked one after the other
    pixels: tuple[tuple[int, ...], tuple[int, int]] | None = None  # how `split` arranges both arrays for the engines
    # Whether weights that are not finite take another route: since taps outside are left out, or rows are joined.
    leaves_out: bool = False
    joins_rows: bool = False


@kept
def route_of(
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
        return Route(Fallback.COPY)
    problem = problem_between(weights, x, out, geometry)
    leaves_out = geometry.boundary == ZERO and problem.sums.kind == "f" and problem.looks_outside(1)
    if leaves_out and not is_finite:
        return Route(Fallback.INSIDE)
    pixels = None
    if problem.kernel == geometry.stride == (1, 1) and geometry.starts == (0, 0) and x.shape[2:] == out.shape[2:]:
        pixels = _long_rows(x, out)
        if pixels is not None:
            problem = problem_between(weights, split(x, *pixels), split(out, *pixels), geometry)
    engines = load()
    if not engines.layer_input.supports(problem):
        return Route(Fallback.NUMPY, leaves_out=leaves_out)
    kinds = _forward_engines(engines, problem, geometry.by_spectra, is_finite)
    joins_rows = kinds[-1] is engines.planewise_engine and engines.planewise_engine.joins_rows(problem)
    if engines.channelwise_engine.needs_parts(problem):
        kinds = kinds[:-1]
    return Route(Fallback.PARTS, problem, kinds, pixels, leaves_out, joins_rows)


def _forward_engines(
    engines: Engines, problem: LayerProblem, by_spectra: bool, is_finite: bool
) -> tuple[ModuleType, ...]:
    """The fastest engine of a layer, and where that leaves results to another, the one that does not."""
    planewise = engines.planewise_engine
    kind = engines.channelwise_engine if engines.channelwise_engine.supports(problem) else engines.layer_engine
    if (
        planewise.supports(problem)
        and planewise.is_faster(problem)
        and (is_finite or not planewise.joins_rows(problem))
    ):
        kind = planewise
    if by_spectra and engines.spectral_engine.supports(problem) and engines.spectral_engine.is_faster(problem):
        return engines.spectral_engine, kind
    return (kind,)


def problem_between(weights: np.ndarray, x: np.ndarray, out: np.ndarray, geometry: Geometry) -> LayerProblem:
    """The problem of a layer from and to these arrays."""
    problem = problem_of(weights, x, out.shape[2:], out.dtype, geometry)
    return problem._replace(
        channels_last=out.strides[3] != out.itemsize,
        has_pixels=has_pixels(x),
        has_lines=has_lines(x),
        stores_pixels=has_pixels(out),
    )


def _is_addressable(out: np.ndarray) -> bool:
    """Whether an engine can store into an array: aligned, with columns or channels side by side."""
    return is_aligned(out) and out.dtype.isnative and (out.itemsize in (out.strides[3], out.strides[1]))


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
            if _is_addressable(split(out, axes, shape)):
                return axes, shape
    return None


def _is_mergeable(array: np.ndarray, axes: tuple[int, ...]) -> bool:
    """Whether axes can become one without a copy."""
    steps = [(array.shape[axis], array.strides[axis]) for axis in axes if array.shape[axis] > 1]
    return all(outer[1] == inner[0] * inner[1] for outer, inner in itertools.pairwise(steps))


def split(array: np.ndarray, axes: tuple[int, ...], shape: tuple[int, int]) -> np.ndarray:
    """A view with `axes` merged, and split into rows and columns."""
    channels = array.shape[1]
    if axes[0] == 0:
        return array.transpose(1, 0, 2, 3).reshape(channels, 1, *shape).transpose(1, 0, 2, 3)
    return array.reshape(array.shape[0], channels, *shape)
