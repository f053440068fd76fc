"""The engine of gradients of depthwise layers of stride 2 to their input: runs `upsampling_unit` of either layout."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.layers import layer_input, planewise_engine
from fastconv._engines.layers.layer_unit_engine import LayerUnitEngine
from fastconv._engines.layers.weight_packing import PackedWeights
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.layers import channelwise_tile, channelwise_upsampling, depthwise_upsampling
from fastconv._model.geometry import ZERO
from fastconv._model.layer_problem import LayerProblem
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.interruptible_numpy import converted
from fastconv._simd.target import processor

# Taps of a phase along an axis, at most: of longer kernels the phases are layers of their own, and may go by spectra.
_MOST_TAPS = 8
# Packed input of a unit with channels last, in bytes, and units at least where there are enough rows.
_UNIT_BYTES = 200_000
_UNITS = 8


class Taps(NamedTuple):
    """The taps that the even or the odd outputs of an axis meet, in the order of the input, and the first input."""

    taps: tuple[int, ...]
    start: int


class UpsamplingProblem(NamedTuple):
    """All that the engine depends on: the types, the sizes, and the taps of even and odd rows and columns."""

    x_dtype: np.dtype
    sums: np.dtype
    x_shape: tuple[int, int, int, int]
    out_size: tuple[int, int]
    rows: tuple[Taps, Taps]
    columns: tuple[Taps, Taps]
    channels_last: bool  # the output

    def layer(self) -> LayerProblem:
        """A layer of stride 1 that reads what all phases read, for every second row and column of the output."""
        starts = [min(each.start for each in axis) for axis in (self.rows, self.columns)]
        stops = [max(each.start + len(each.taps) for each in axis) for axis in (self.rows, self.columns)]
        return LayerProblem(
            x_dtype=self.x_dtype,
            sums=self.sums,
            x_shape=self.x_shape,
            outputs=self.x_shape[1],
            kernel=(stops[0] - starts[0], stops[1] - starts[1]),
            out_size=(-(-self.out_size[0] // 2), -(-self.out_size[1] // 2)),
            starts=(starts[0], starts[1]),
            stride=(1, 1),
            dilation=(1, 1),
            groups=self.x_shape[1],
            boundary=ZERO,
            fill_value=0,
            rectify=False,
            channels_last=self.channels_last,
        )


def supports(problem: UpsamplingProblem, out: np.ndarray) -> bool:
    """Whether the engine can fill an output: with its columns or its pixels side by side, and taps for each of them."""
    taps = [len(each.taps) for each in problem.rows + problem.columns]
    channels, size = out.shape[1], out.itemsize
    is_stored = out.strides[3] == size
    if problem.channels_last:
        is_stored = out.strides[1] == size and out.strides[3] == channels * size and channels >= _lanes(problem)
    return (
        min(taps) > 0
        and max(taps) <= _MOST_TAPS
        and is_stored
        and not any(stride % size for stride in out.strides)
        and out.flags.aligned
        and out.dtype.isnative
        and layer_input.supports(problem.layer())
    )


def _lanes(problem: UpsamplingProblem) -> int:
    return max(1, processor().lanes(8 * problem.sums.itemsize))


@kept
def engine_of(problem: UpsamplingProblem) -> UpsamplingEngine:
    """Return the cached engine of a problem, or make it."""
    return UpsamplingEngine(problem)


class UpsamplingEngine(LayerUnitEngine):
    """Gradients of one `UpsamplingProblem` that `supports` accepts."""

    def __init__(self, problem: UpsamplingProblem):
        self._problem = problem
        layer = problem.layer()
        compute = layer_input.COMPUTE[layer.sums]
        # The job has the addresses of these tables.
        fields, tables = layer_input.fields(layer, compute)
        cut = _pixels(problem, layer, compute) if problem.channels_last else _planes(problem, layer, compute)
        units = layer.x_shape[0] * cut["row_blocks"] * cut.get("parts", 1)
        own = {
            **fields,
            **cut,
            "units": units,
            "out_height": layer.out_size[0],
            "rows": problem.out_size[0],
            "columns": problem.out_size[1],
        }
        for axis, start, phases in zip(("row", "column"), layer.starts, (problem.rows, problem.columns)):
            for name, phase in zip(("even", "odd"), phases):
                own[f"{name}_{axis}s"], own[f"{name}_{axis}"] = len(phase.taps), phase.start - start
        # The last vectors of planes are read beyond the input.
        lanes = _lanes(problem)
        height = min(fields["height"], cut["block_rows"] + layer.kernel[0] - 1)
        packed = height * layer.needed[1] * layer.groups
        if not problem.channels_last:
            packed = cut["packed_plane"] * -(-layer.groups // cut["parts"]) + layer.kernel[1]
            packed += (direct_tile.VECTORS + 1) * lanes
        job = depthwise_upsampling.UPSAMPLING_JOB.filled(own)
        products = 4 * layer.x_shape[0] * layer.groups * math.prod(problem.out_size)  # as long as these take
        self._set_job(job, compiled_loop(), tables, units, products, packed * layer.sums.itemsize)

    def pack(self, weights: np.ndarray, bias: np.ndarray | None) -> PackedWeights:
        """Weights of shape (channels, 1, rows, columns) in the order of the phases, with channels last or first."""
        rows, columns = (phases[0].taps + phases[1].taps for phases in (self._problem.rows, self._problem.columns))
        ordered = converted(weights, self._problem.sums)[:, 0][:, rows][:, :, columns]
        packed = np.ascontiguousarray(ordered.transpose(1, 2, 0) if self._problem.channels_last else ordered)
        biases = np.zeros(len(weights), packed.dtype)
        if bias is not None:
            biases[...] = bias
        return PackedWeights(packed.reshape(-1), biases)


def _planes(problem: UpsamplingProblem, layer: LayerProblem, compute) -> dict[str, int]:
    """Fields about units and the microkernel, channels first."""
    lanes = _lanes(problem)
    rows, row_blocks, parts = planewise_engine.depthwise_units(layer)
    vectors = -(-layer.out_size[1] // lanes)
    tile = -(-vectors // -(-vectors // direct_tile.VECTORS))
    height = min(layer.x_shape[2], rows + layer.kernel[0] - 1)
    return {
        "compute_unit": unit_routine(depthwise_upsampling.upsampling_unit),
        "tile": compiled_routine(depthwise_upsampling.make(tile), depthwise_upsampling.signature(compute)),
        **layer_input.padding(layer._replace(has_lines=True), compute),
        "block_rows": rows,
        "row_blocks": row_blocks,
        "parts": parts,
        "packed_plane": height * layer.needed[1] + max(planewise_engine.APART, lanes),  # zeros are whole vectors
    }


def _pixels(problem: UpsamplingProblem, layer: LayerProblem, compute) -> dict[str, int]:
    """The same, channels last."""
    even, odd = (len(each.taps) for each in problem.columns)
    most = channelwise_tile.tile_pixels(1, max(even, odd))
    columns = problem.out_size[1] // 2
    pixels = -(-columns // -(-columns // most))
    number, row_bytes = layer.x_shape[0], layer.needed[1] * layer.groups * layer.sums.itemsize
    rows = max(1, min(_UNIT_BYTES // row_bytes - layer.kernel[0] + 1, -(-layer.out_size[0] * number // _UNITS)))
    row_blocks = -(-layer.out_size[0] // rows)
    function, signature = channelwise_upsampling.make(pixels, even, odd), channelwise_upsampling.signature(compute)
    return {
        "compute_unit": unit_routine(channelwise_upsampling.upsampling_unit),
        "tile": compiled_routine(function, signature),
        "block_rows": -(-layer.out_size[0] // row_blocks),
        "row_blocks": row_blocks,
    }
