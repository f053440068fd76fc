"""The engine of depthwise layers, and of groups of 2, 4 or 8 channels: runs `channelwise_unit`."""

from __future__ import annotations

import math

import numpy as np

from fastconv._engines.layers import layer_input
from fastconv._engines.layers.layer_unit_engine import LayerUnitEngine
from fastconv._engines.layers.weight_packing import PackedWeights, pack
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.layers import channelwise_tile, channelwise_unit, layer_tile
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._runtime.bounded_cache import kept
from fastconv._simd.target import processor

MOST_PRODUCTS = layer_tile.PRODUCTS  # of floats in a sum
# Channels of a group that lanes can be shuffled for: one is depthwise. With 16 the general engine is as fast.
_SIZES = (1, 2, 4, 8)
# Taps of a run: their weights are in registers. A longer kernel row is several runs.
_MOST_TAPS = 11
_MOST_SHARED_STRIDE = 2
# Vectors of channels of a tile of one row, if that leaves registers for so many pixels: with three, whose lines are
# read one after the other, stride 2 of 96 channels at 80 x 80 takes a tenth less.
_MOST_VECTORS = 3
_LEAST_PIXELS = 4
# Vectors of channels of a tile of one pixel at an edge, whose sums do not wait for each other.
_EDGE_VECTORS = 4
# Most input rows of a unit, in bytes, if they are packed or not, and units of a job that has enough work for them.
_UNIT_BYTES, _UNIT_BYTES_IN_PLACE = 250_000, 2_000_000
_UNITS = 16
_LEAST_PRODUCTS = 200_000


def supports(problem: LayerProblem) -> bool:
    """Whether a layer is one of small groups, with a vector of channels at least."""
    channels, groups = problem.x_shape[1], problem.groups
    size = channels // groups
    lanes = processor().lanes(problem.sums.itemsize * 8)
    return (
        problem.outputs == channels and size in _SIZES and size <= lanes <= channels and (groups > 1 or channels == 1)
    )


def needs_parts(problem: LayerProblem) -> bool:
    """Whether an output is a sum of more products than one rounded sum should be: the microkernels have no others."""
    products = math.prod(problem.kernel) * problem.x_shape[1] // problem.groups
    return problem.sums.kind == "f" and products > MOST_PRODUCTS and supports(problem)


@kept
def engine_of(problem: LayerProblem) -> ChannelwiseEngine:
    """Return the cached engine of a problem, or make it."""
    return ChannelwiseEngine(problem)


class ChannelwiseEngine(LayerUnitEngine):
    """Layers of one `LayerProblem` that `supports` accepts."""

    def __init__(self, problem: LayerProblem):
        self._problem = problem
        self._lanes = processor().lanes(problem.sums.itemsize * 8)
        compute = layer_input.COMPUTE[problem.sums]
        # The job has the addresses of these tables.
        in_place = problem.has_pixels and layer_input.holds_samples(problem)
        pad = {} if in_place else layer_input.padding(problem, compute, to_pixels=True)
        fields, tables = layer_input.fields(problem, compute, not (in_place or pad))
        channels, size = problem.x_shape[1], problem.x_shape[1] // problem.groups
        (_, columns), (out_height, out_width) = problem.kernel, problem.out_size
        (row_stride, stride), (row_dilation, dilation) = problem.stride, problem.dilation
        # Also for input that is packed: the same tiles for all layouts.
        first, stop = layer_input.inside(problem) if layer_input.holds_samples(problem) else (0, out_width)
        least = min(out_width, stop - first) if stop > first else out_width
        # A microkernel for each small stride shares input among taps; for others a tap is a run.
        is_shared = size == 1 and dilation == 1 and stride <= _MOST_SHARED_STRIDE
        taps = _run_taps(columns) if is_shared else 1
        runs = columns // taps
        is_double = size == 1 and row_stride == 1 and row_dilation == 1 and runs == 1 and problem.kernel[0] > 1
        is_double = is_double and channelwise_tile.tile_pixels(2, taps) >= 4
        vectors = _vectors(channels, self._lanes, taps) if is_shared and not is_double else 1
        signature = channelwise_tile.signature(compute)

        def routine(rows: int) -> int:
            """Address of the microkernel for so many rows, 0 for single pixels."""
            pixels = 1 if rows == 0 else _pixels(least, rows, taps, vectors)
            apart = stride if is_shared else 1
            if rows == 0:
                function = channelwise_tile.make_grouped(1, size, min(_EDGE_VECTORS, channels // self._lanes))
            elif size > 1:
                function = channelwise_tile.make_grouped(pixels, size, 1)
            elif rows == 1:
                function = channelwise_tile.make(pixels, vectors, taps, apart)
            else:
                function = channelwise_tile.make_double(pixels, taps, apart)
            return compiled_routine(function, signature)

        row_bytes = problem.needed[1] * channels * problem.sums.itemsize
        unit_bytes = _UNIT_BYTES_IN_PLACE if in_place and problem.channels_last else _UNIT_BYTES
        rows = max(1, (unit_bytes // row_bytes - reach(problem.kernel[0], row_dilation)) // row_stride + 1)
        number = problem.x_shape[0]
        wanted = min(_UNITS, max(1, problem.products // _LEAST_PRODUCTS))
        blocks = min(out_height, max(-(-out_height // rows), -(-wanted // number)))
        rows = -(-out_height // blocks)
        blocks = -(-out_height // rows)
        block_height = min(fields["height"], (rows - 1) * row_stride + reach(problem.kernel[0], row_dilation))
        packed = -(-block_height * row_bytes // 64) * 64 + 64  # rows of zeros end in whole vectors
        staging = 0 if problem.channels_last else rows * out_width * channels * problem.sums.itemsize
        transposes = not problem.channels_last and out_width >= self._lanes > 1
        own = {
            **fields,
            "compute_unit": unit_routine(channelwise_unit.channelwise_unit),
            **pad,
            "x_in_place": in_place,
            "single": routine(1),
            "double": routine(2) if is_double else 0,
            "pixel": routine(0) if in_place and stop - first < out_width else 0,
            "transpose": layer_input.transposing_routine(compute) if transposes else 0,
            "store": 0 if problem.channels_last or transposes else transfer_routine(compute, compute),
            "transposed": not problem.channels_last,
            "rectify": problem.rectify,
            "width": problem.x_shape[3],
            "out_height": out_height,
            "out_width": out_width,
            "first_inside": first,
            "stop_inside": stop,
            "block_rows": rows,
            "row_blocks": blocks,
            "units": number * blocks,
            "pitch": channels * (1 if is_shared else stride),
            "runs": runs,
            "run_taps": taps,
            "staging_at": packed,
        }
        job = channelwise_unit.CHANNELWISE_JOB.filled(own)
        # Its units take long for their products.
        self._set_job(job, compiled_loop(), tables, number * blocks, 4 * problem.products, packed + staging)

    @property
    def packing(self) -> tuple:
        """What the order of packed weights depends on: engines with the same share them."""
        return "channelwise", self._problem.sums, self._problem.groups

    def pack(self, weights: np.ndarray, bias: np.ndarray | None, is_kept: bool = False) -> PackedWeights:
        """Pack weights of shape (channels, channels of a group, rows, columns), and a bias."""
        return pack(weights, bias, self._problem.sums, 1, len(weights), len(weights), is_kept)


def _run_taps(columns: int) -> int:
    """Taps of a run: the largest divisor of those of a row that leaves registers for pixels."""
    most = max(1, min(_MOST_TAPS, processor().registers // 2 - 1))
    return max(taps for taps in range(1, min(columns, most) + 1) if columns % taps == 0)


def _vectors(channels: int, lanes: int, taps: int) -> int:
    """Vectors of channels of a tile of one row: so that the last ones slide back by few."""
    pixel = -(-channels // lanes)
    counts = [
        count
        for count in range(1, min(_MOST_VECTORS, channels // lanes) + 1)
        if count == 1 or channelwise_tile.tile_pixels(1, taps, count) >= _LEAST_PIXELS
    ]
    return min(counts, key=lambda count: (-(-pixel // count) * count, -count))


def _pixels(columns: int, rows: int, taps: int, vectors: int) -> int:
    """Pixels of a tile: so that the last one slides back by few."""
    most = min(columns, channelwise_tile.tile_pixels(rows, taps, vectors))
    return -(-columns // -(-columns // most))
