"""The engine of convolutional layers: cuts a layer into units, packs its weights, and runs `layer_unit`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.layers import layer_input, weight_packing
from fastconv._engines.layers.layer_unit_engine import LayerUnitEngine
from fastconv._engines.layers.weight_packing import GivenWeights, PackedWeights, given, pack
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.layers import layer_tile, layer_unit
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._runtime.bounded_cache import kept
from fastconv._simd.target import processor

# Input rows of a unit stay in the L2 cache. Weights above the second bound leave it from block to block: then all rows
# of an image are one unit, up to the third (1024 channels at 14 x 14: 222 GFLOP/s instead of 120).
_UNIT_BYTES = 400_000
_UNIT_BYTES_OF_PIXELS = 270_000  # of kernels of one row, whose units share no rows
_LARGE_WEIGHTS = 600_000
_MOST_BYTES = 4_000_000
# Weights that are used once are packed by the units, in the L2 cache, each of which computes whole images: if there are
# more weights than so many, packed so many times at most. Bytes of a block of them, and of the input of a unit.
LEAST_PACKED_WEIGHTS = 100_000
_MOST_TIMES_PACKED = 4
_MOST_BLOCK_BYTES = 2_000_000
_MOST_IMAGE_BYTES = 1_000_000
# Units of a job that has enough work for them, so that all threads have as much to do; and blocks of rows of a larger
# job, which pack less than parts of the output channels do.
_UNITS = 8
_ROW_UNITS = 16
_ROW_PRODUCTS = 10_000_000
_LEAST_ROWS = 4
_LEAST_PRODUCTS = 500_000
# Products of a unit at most: some 20 ms, since Python handles Ctrl-C between units.
_MOST_PRODUCTS = 2_000_000_000


class Channels(NamedTuple):
    """How the output channels of a group are cut into blocks."""

    block: int  # channels of a whole block
    blocks: int
    rest: int  # channels of the block behind them, or 0
    rest_vectors: int

    @classmethod
    def of(cls, outputs: int, lanes: int) -> Channels:
        block = layer_tile.VECTORS * lanes
        rest = outputs % block
        return cls(block, outputs // block, rest, -(-rest // lanes))

    def padded(self, lanes: int) -> int:
        """Channels of a group, with those of the last vector that are not stored."""
        return self.blocks * self.block + self.rest_vectors * lanes


class Units(NamedTuple):
    """Size of a unit: output rows, and the parts of the output channels."""

    rows: int
    blocks: int  # of rows in an image
    parts: int
    images: int = 1  # more than one only if there is one block


@kept
def engine_of(problem: LayerProblem, packs_weights: bool = False) -> LayerEngine:
    """Return the cached engine of a problem, or make it; one that `packs_weights` is called with `given` ones."""
    return LayerEngine(problem, packs_weights)


def packs_weights(problem: LayerProblem, weights: np.ndarray) -> bool:
    """Whether the units of a layer had better pack its weights, if these are used once."""
    if weights.dtype != problem.sums or not weights.flags.aligned or weights.size < LEAST_PACKED_WEIGHTS:
        return False
    units = _units(problem, Channels.of(problem.outputs // problem.groups, _lanes(problem)), True)
    times = -(-problem.x_shape[0] // units.images) * units.blocks
    return times <= _MOST_TIMES_PACKED and _block_bytes(problem) <= _MOST_BLOCK_BYTES


def compile_all(sums: np.dtype) -> None:
    """Compile what depends on the sizes of layers with sums of this type: the packing of large weights and of RGB."""
    weight_packing.compile_all(sums)
    layer_input.interleaving_routine(3, layer_input.COMPUTE[sums])


class LayerEngine(LayerUnitEngine):
    """Layers of one `LayerProblem`, with any arrays and weights of its types and sizes."""

    def __init__(self, problem: LayerProblem, packs_weights: bool):
        self._problem = problem
        compute = layer_input.COMPUTE[problem.sums]
        self._lanes = _lanes(problem)
        channels = Channels.of(problem.outputs // problem.groups, self._lanes)
        self._channels = channels
        # The job has the addresses of these tables.
        in_place = problem.has_pixels and layer_input.is_inside(problem)
        pad = {} if in_place else layer_input.padding(problem, compute, to_pixels=True)
        packs = not (in_place or pad)
        fields, tables = layer_input.fields(problem, compute, packs)
        units = _units(problem, channels, packs_weights)
        tiles = -(-problem.out_size[1] // layer_tile.PIXELS)
        pixels = -(-problem.out_size[1] // tiles)
        narrow = pixels * tiles - problem.out_size[1]
        block_height = min(
            fields["height"], (units.rows - 1) * problem.stride[0] + reach(problem.kernel[0], problem.dilation[0])
        )
        packed_bytes = -(-block_height * problem.needed[1] * problem.x_shape[1] * problem.sums.itemsize // 64) * 64
        count = -(-problem.x_shape[0] // units.images) * units.blocks * units.parts
        sums_at = units.images * packed_bytes
        weights_at = sums_at + layer_tile.sums_size() * 4
        square_at = weights_at + (_block_bytes(problem) if packs_weights else 0)

        def tile(less: int, rest: bool) -> int:
            """Address of a microkernel; 0 if no tile needs it."""
            if (less and not narrow) or not (channels.rest if rest else channels.blocks):
                return 0
            vectors = channels.rest_vectors if rest else layer_tile.VECTORS
            partial = rest and channels.rest < vectors * self._lanes
            function = layer_tile.make(pixels - less, vectors, not problem.channels_last, partial)
            return compiled_routine(function, layer_tile.signature(compute))

        own = {
            **fields,
            **(layer_input.pixels(problem, compute) if packs else {}),
            **pad,
            "x_in_place": in_place,
            "compute_unit": unit_routine(layer_unit.layer_unit),
            "wide": tile(0, False),
            "narrow": tile(1, False),
            "wide_rest": tile(0, True),
            "narrow_rest": tile(1, True),
            "transposed": not problem.channels_last,
            "rectify": problem.rectify,
            "outputs": problem.outputs // problem.groups,
            "out_height": problem.out_size[0],
            "block_rows": units.rows,
            "row_blocks": units.blocks,
            "parts": units.parts,
            "units": count,
            "pixels": pixels,
            "wide_tiles": tiles - narrow,
            "narrow_tiles": narrow,
            "block_outputs": channels.block,
            "blocks": channels.blocks,
            "rest_outputs": channels.rest_vectors * self._lanes,
            "images": units.images,
            "image_bytes": packed_bytes,
            "sums_at": sums_at,
            "pack_weights": weight_packing.unit_routine() if packs_weights else 0,
            "weights_at": weights_at,
            "square_at": square_at,
        }
        job = layer_unit.LAYER_JOB.filled(own)
        scratch_bytes = square_at + (weight_packing.SQUARE * problem.sums.itemsize if packs_weights else 0)
        self._set_job(job, compiled_loop(), tables, count, problem.products, scratch_bytes)

    @property
    def packing(self) -> tuple:
        """What the order of packed weights depends on: engines with the same share them."""
        return self._problem.sums, self._problem.groups, self._lanes

    def pack(self, weights: np.ndarray, bias: np.ndarray | None, is_kept: bool = False) -> PackedWeights:
        """Pack weights of shape (outputs, channels of a group, rows, columns), and a bias."""
        channels, groups = self._channels, self._problem.groups
        return pack(weights, bias, self._problem.sums, groups, channels.block, channels.padded(self._lanes), is_kept)

    def given(self, weights: np.ndarray, bias: np.ndarray | None) -> GivenWeights:
        """The same weights for units that pack them; the caller keeps their memory alive."""
        channels, groups = self._channels, self._problem.groups
        return given(weights, bias, self._problem.sums, groups, channels.block, channels.padded(self._lanes))


def _lanes(problem: LayerProblem) -> int:
    return max(1, processor().lanes(layer_input.COMPUTE[problem.sums].bitwidth))


def _block_bytes(problem: LayerProblem) -> int:
    """Bytes of a packed block of weights."""
    taps = math.prod(problem.kernel) * problem.x_shape[1] // problem.groups
    return -(-taps * layer_tile.VECTORS * _lanes(problem) * problem.sums.itemsize // 64) * 64


def _units(problem: LayerProblem, channels: Channels, packs_weights: bool) -> Units:
    """Cut a layer into units; depends on sizes alone."""
    number, out_rows = problem.x_shape[0], problem.out_size[0]
    row_bytes = problem.needed[1] * problem.x_shape[1] * problem.sums.itemsize
    taps = math.prod(problem.kernel) * problem.x_shape[1] // problem.groups
    most_parts = (channels.blocks + (channels.rest > 0)) * problem.groups
    extent = reach(problem.kernel[0], problem.dilation[0])
    rows = ((_UNIT_BYTES if extent > 1 else _UNIT_BYTES_OF_PIXELS) // row_bytes - extent) // problem.stride[0] + 1
    is_heavy = problem.outputs * taps * problem.sums.itemsize > _LARGE_WEIGHTS
    if is_heavy:
        rows = out_rows if problem.needed[0] * row_bytes < _MOST_BYTES else max(rows, 8)
    rows = min(out_rows, max(1, rows))
    blocks, parts = -(-out_rows // rows), 1
    wanted = min(_UNITS, max(1, problem.products // _LEAST_PRODUCTS))
    images = 1
    if packs_weights and blocks == 1:
        least = -(-number // max(1, min(number, _MOST_IMAGE_BYTES // (row_bytes * problem.needed[0]))))
        samples = number * row_bytes * problem.needed[0] // problem.sums.itemsize
        # Each group of images packs the weights, and each part of the output channels the images.
        groups = min(
            range(least, max(least, min(number, _UNITS)) + 1),
            key=lambda groups: groups * problem.outputs * taps + min(most_parts, -(-wanted // groups)) * samples,
        )
        images = -(-number // groups)
        number = -(-number // images)
    elif not is_heavy:
        row_units = max(wanted, min(_ROW_UNITS, problem.products // _ROW_PRODUCTS))
        blocks = max(blocks, min(-(-row_units // number), out_rows // _LEAST_ROWS))
    parts = max(parts, min(most_parts, wanted // (number * blocks)))
    most_blocks = 1 if images > 1 else out_rows
    while problem.products > _MOST_PRODUCTS * number * blocks * parts and (parts < most_parts or blocks < most_blocks):
        if parts < most_parts:
            parts = min(2 * parts, most_parts)
        else:
            blocks = min(2 * blocks, most_blocks)
    rows = -(-out_rows // blocks)
    return Units(rows, -(-out_rows // rows), parts, images)
