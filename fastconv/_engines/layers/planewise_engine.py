"""The engine of layers of few channels or outputs (`planewise_unit`), and depthwise ones, channels first."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.layers import channelwise_engine, layer_input
from fastconv._engines.layers.layer_unit_engine import LayerUnitEngine
from fastconv._engines.layers.weight_packing import PackedWeights, pack
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.layers import (
    depthwise_tile,
    depthwise_unit,
    layer_tile,
    planewise_tile,
    planewise_unit,
)
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._runtime.bounded_cache import kept
from fastconv._simd.target import processor

# Input rows of a unit, in bytes, and units of a job that has enough work for them.
_UNIT_BYTES = 250_000
_UNITS = 8
_MOST_JOINED = 500_000  # of all rows of an image, if they are joined
# Input rows of a plane that a depthwise layer packs at a time, in bytes.
_PLANE_BYTES = 40_000
_LEAST_PRODUCTS = 500_000
# Products of a unit at most: some 20 ms, since Python handles Ctrl-C between units.
_MOST_PRODUCTS = 2_000_000_000
_MOST_VECTORS = 9  # of a tile: addresses that fit into registers
# Elements between packed planes beyond their size, so that the lines of a column do not share a set of the cache.
APART = 16


class Tile(NamedTuple):
    """Shape of a tile: output channels, and vectors of columns."""

    outputs: int
    vectors: int


def supports(problem: LayerProblem) -> bool:
    """Whether the engine can compute a layer: of stride 1 along rows of a vector at least, or that it can join."""
    return problem.stride[1] == 1 and (problem.out_size[1] >= _lanes(problem) or joins_rows(problem))


def joins_rows(problem: LayerProblem) -> bool:
    """Whether rows are narrower than a vector, and computed as one row with the columns between them.

    Input rows outside count as zeros then: only for finite weights. Where there are partial sums, leaving such rows out
    as other engines do would give other bits.
    """
    channels, (rows, columns) = problem.x_shape[1], problem.needed
    return (
        problem.out_size[1] < _lanes(problem) <= _joined_columns(problem)
        and problem.stride == (1, 1)
        and math.prod(problem.kernel) * channels // problem.groups <= layer_tile.PRODUCTS
        and rows * columns * channels * problem.sums.itemsize <= _MOST_JOINED
        and not _is_depthwise(problem)
    )


def _joined_columns(problem: LayerProblem) -> int:
    """Columns of all output rows as one, each as wide as those of the input."""
    return (problem.out_size[0] - 1) * problem.needed[1] + problem.out_size[1]


def _lanes(problem: LayerProblem) -> int:
    return max(1, processor().lanes(problem.sums.itemsize * 8))


@kept
def is_faster(problem: LayerProblem) -> bool:
    """Whether the engine is faster than the others that `supports` leaves: by estimates of products for an output.

    The estimates fit measurements with AVX-512, of 20 layers.
    """
    if _is_depthwise(problem):
        return True
    channels, outputs = (count // problem.groups for count in (problem.x_shape[1], problem.outputs))
    products = channels * math.prod(problem.kernel)
    # That engine transposes nothing with channels last. It has no partial sums, and both layouts give the same bits.
    if channelwise_engine.supports(problem):
        if problem.channels_last or channels == 1 or products > layer_tile.PRODUCTS:
            return False
    # A tile streams its input from the L2 cache if it has many channels.
    here = products * _work(problem, tile_of(problem)) * min(1.18, 1 + channels / 1000)
    lanes = _lanes(problem)
    vectors = -(-outputs // lanes)
    # Pixels are transposed to channels or back.
    packing = (20 if channels >= lanes else 45) * channels / outputs * problem.stride[0]
    # There a single vector of output channels needs a load for each product.
    there = products * vectors * lanes / outputs * (1.15 if vectors == 1 else 1)
    if problem.channels_last:
        # A few channels are separated, and interleaved again, in registers.
        is_few = max(problem.x_shape[1], problem.outputs) <= layer_input.MOST_INTERLEAVED and not joins_rows(problem)
        return here + (6 * channels / outputs + 8 if is_few else packing + 30) < there
    if joins_rows(problem):
        return here < there + packing
    return here < there + 14 + packing


@kept
def engine_of(problem: LayerProblem) -> PlanewiseEngine:
    """Return the cached engine of a problem, or make it."""
    return PlanewiseEngine(problem)


class PlanewiseEngine(LayerUnitEngine):
    """Layers of one `LayerProblem` that `supports` accepts."""

    def __init__(self, problem: LayerProblem):
        self._problem = problem
        compute = layer_input.COMPUTE[problem.sums]
        # The job has the addresses of these tables.
        joins = joins_rows(problem)
        is_padded = joins and problem.boundary == ZERO  # all rows are packed
        packed = problem._replace(boundary=FILL, fill_value=0) if is_padded else problem
        outputs, channels = problem.outputs // problem.groups, problem.x_shape[1] // problem.groups
        self._is_depthwise = _is_depthwise(problem)
        self._tile = tile = depthwise_tile_of(problem) if self._is_depthwise else tile_of(problem)
        self._blocks = -(-outputs // tile.outputs)
        rows, row_blocks, parts = depthwise_units(problem) if self._is_depthwise else _units(problem, self._blocks)
        units = problem.x_shape[0] * row_blocks * parts
        size, lanes = problem.sums.itemsize, _lanes(problem)
        in_place = problem.has_lines and not self._is_depthwise and layer_input.is_inside(packed)
        pad = {} if in_place or (self._is_depthwise and not problem.has_lines) else layer_input.padding(packed, compute)
        fields, tables = layer_input.fields(packed, compute, not (in_place or pad))
        height = min(fields["height"], (rows - 1) * problem.stride[0] + reach(problem.kernel[0], problem.dilation[0]))
        plane = height * problem.needed[1] + max(APART, lanes)  # rows of zeros end in whole vectors
        planes = -(-problem.groups // parts) if self._is_depthwise else problem.x_shape[1]
        offsets_at = -(-plane * planes * size // 64) * 64
        sums_at = offsets_at + -(-math.prod(problem.kernel) * channels // 8) * 64
        # The last vectors of a depthwise layer are read beyond the input.
        staging_at = sums_at + tile.outputs * tile.vectors * lanes * size
        is_staged = joins or problem.channels_last
        interleaves = problem.stores_pixels and 1 < problem.outputs == outputs <= min(
            tile.outputs, layer_input.MOST_INTERLEAVED
        )
        interleaves = interleaves and not joins and problem.out_size[1] >= lanes > 1
        staging_row = problem.needed[1] if joins else problem.out_size[1]
        staging_plane = rows * staging_row + APART
        scratch_bytes = staging_at + (tile.outputs * staging_plane * size if is_staged else 0)
        if self._is_depthwise:
            function, signature = depthwise_tile.make(tile.vectors), depthwise_tile.signature
            unit = depthwise_unit.depthwise_unit
        else:
            function, signature = planewise_tile.make(*tile), planewise_tile.signature
            unit = planewise_unit.planewise_unit
        own = {
            **fields,
            "compute_unit": unit_routine(unit),
            **pad,
            "x_in_place": in_place,
            "tile": compiled_routine(function, signature(compute)),
            "joins_rows": joins,
            "is_staged": is_staged,
            "interleave": layer_input.interleaving_routine(outputs, compute) if interleaves else 0,
            "store": transfer_routine(compute, compute) if is_staged and not interleaves else 0,
            "staging_at": staging_at,
            "staging_row": staging_row,
            "staging_plane": staging_plane,
            "rectify": problem.rectify,
            "out_height": problem.out_size[0],
            "out_width": problem.out_size[1],
            "block_rows": rows,
            "row_blocks": row_blocks,
            "parts": parts,
            "units": units,
            "outputs": outputs,
            "tile_outputs": tile.outputs,
            "blocks": self._blocks,
            "packed_plane": plane,
            "offsets_at": offsets_at,
            "sums_at": sums_at,
        }
        job = planewise_unit.PLANEWISE_JOB.filled(own)
        self._set_job(job, compiled_loop(), tables, units, problem.products + _moved_products(problem), scratch_bytes)

    @property
    def packing(self) -> tuple:
        """What the order of packed weights depends on: engines with the same share them."""
        return "planewise", self._problem.sums, self._problem.groups, self._tile.outputs

    def pack(self, weights: np.ndarray, bias: np.ndarray | None, is_kept: bool = False) -> PackedWeights:
        """Pack weights of shape (outputs, channels of a group, rows, columns), and a bias."""
        width = self._tile.outputs
        return pack(weights, bias, self._problem.sums, self._problem.groups, width, self._blocks * width, is_kept)


def tile_of(problem: LayerProblem) -> Tile:
    """The shape of tile that computes the outputs of a group with the least work."""
    outputs = problem.outputs // problem.groups
    # A product of integers needs a register until it is added.
    free = processor().registers - (1 if problem.sums.kind == "f" else 2)
    shapes = []
    for vectors in range(1, _MOST_VECTORS + 1):
        most = max((rows for rows in range(1, free) if rows * vectors + min(rows, vectors) <= free), default=0)
        if most:
            shapes.append(Tile(-(-outputs // -(-outputs // most)), vectors))
    return min(shapes, key=lambda tile: _work(problem, tile))


def _is_depthwise(problem: LayerProblem) -> bool:
    """Whether a layer has a kernel for each channel, and is of a kind that the microkernel of planes computes."""
    return (
        problem.x_shape[1] == problem.groups == problem.outputs
        and problem.stride == (1, 1)
        and problem.dilation[0] == 1
        and not problem.channels_last
        # Without partial sums, as that engine: both layouts give the same bits.
        and (math.prod(problem.kernel) <= layer_tile.PRODUCTS or channelwise_engine.supports(problem))
    )


def depthwise_tile_of(problem: LayerProblem) -> Tile:
    """The shape of tile of a depthwise layer that covers its rows best."""
    lanes = _lanes(problem)
    vectors = -(-problem.out_size[1] // lanes)
    # A tap of four rows loads four weights, whatever the number of vectors.
    costs = {
        count: -(-vectors // count) * count * (0.85 + 0.6 / count**2) for count in range(1, direct_tile.VECTORS + 1)
    }
    return Tile(1, min(costs, key=lambda count: (costs[count], -count)))


def _work(problem: LayerProblem, tile: Tile) -> float:
    """Time of a tile for each output and product, as a multiple of that of a product in full tiles."""
    outputs, (height, width) = problem.outputs // problem.groups, problem.out_size
    lanes = _lanes(problem)
    rows, vectors = tile
    pieces = -(-_joined_columns(problem) // lanes) if joins_rows(problem) else height * -(-width // lanes)
    padded = -(-outputs // rows) * rows / outputs * -(-pieces // vectors) * vectors * lanes / (height * width)
    # Two products a cycle wait for four cycles each, and need less than two loads. Each block of output channels
    # streams the input from the L2 cache; the taps of a row share it.
    streaming = 1 + max(0.0, 2.4 * (1 / rows - 0.1) / problem.kernel[1])
    return padded * max(1.0, 8 / (rows * vectors), 0.4 + (rows + vectors) / (rows * vectors)) * streaming


def _moved_products(problem: LayerProblem) -> int:
    """Products that take as long as to transpose pixels to planes, and back."""
    samples, results = (math.prod(size) for size in (problem.x_shape[1:], (problem.outputs, *problem.out_size)))
    return 20 * problem.x_shape[0] * (samples + results) if problem.channels_last else 0


def depthwise_units(problem: LayerProblem) -> tuple[int, int, int]:
    """`_units` of a depthwise layer: pieces of planes that stay in the L1 cache, and some planes."""
    (number, channels), out_rows, size = problem.x_shape[:2], problem.out_size[0], problem.sums.itemsize
    row_bytes = problem.needed[1] * size
    rows = max(4, _PLANE_BYTES // row_bytes - reach(problem.kernel[0], problem.dilation[0]) + 1)
    row_blocks = -(-out_rows // rows)
    rows = -(-out_rows // row_blocks)
    row_blocks = -(-out_rows // rows)
    plane_bytes = row_bytes * (rows + reach(problem.kernel[0], problem.dilation[0]) - 1)
    wanted = max(min(_UNITS, problem.products // _LEAST_PRODUCTS), problem.products // _MOST_PRODUCTS, 1)
    parts = max(-(-channels * plane_bytes // _UNIT_BYTES), -(-wanted // (number * row_blocks)))
    return rows, row_blocks, min(parts, channels)


def _units(problem: LayerProblem, blocks: int) -> tuple[int, int, int]:
    """Output rows of a unit, their number in an image, and the parts of the output channels."""
    number, out_rows = problem.x_shape[0], problem.out_size[0]
    row_bytes = problem.needed[1] * problem.x_shape[1] * problem.sums.itemsize
    rows = (_UNIT_BYTES // row_bytes - reach(problem.kernel[0], problem.dilation[0])) // problem.stride[0] + 1
    is_whole = joins_rows(problem)
    row_blocks = 1 if is_whole else -(-out_rows // min(out_rows, max(1, rows)))
    wanted = max(min(_UNITS, problem.products // _LEAST_PRODUCTS), problem.products // _MOST_PRODUCTS, 1)
    row_blocks = 1 if is_whole else max(row_blocks, min(-(-wanted // number), out_rows // 4))
    parts = max(1, min(blocks * problem.groups, wanted // (number * row_blocks)))
    rows = -(-out_rows // row_blocks)
    return rows, -(-out_rows // rows), parts
