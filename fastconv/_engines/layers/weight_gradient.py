"""The engine of weight gradients: cut layers into blocks of rows, splits and parts; run `weight_gradient_unit`."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from fastconv._engines import scheduler
from fastconv._engines.layers import channelwise_engine, layer_input
from fastconv._engines.layers.layer_engine import Channels
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._engines.unit_engine import UnitEngine, compiled_loop, unit_routine
from fastconv._microkernels.layers import layer_tile, weight_gradient_tile, weight_gradient_unit
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._runtime.borrowed_arrays import for_threads, pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._simd import compilation
from fastconv._simd.target import processor

# Bytes of the input and the gradient of a block, in the L2 cache.
_BLOCK_BYTES = 250_000
# Bytes of weights from which on a block holds whole images, so that sums leave and enter the cache less often.
_LARGE_WEIGHTS = 1_000_000
_MOST_BLOCK_BYTES = 2_000_000
# Units of a job that has enough work for them, and the bytes of the sums of all splits at most.
_UNITS = 8
_LEAST_PRODUCTS = 1_000_000
_MOST_SUMS = 1 << 25
# Sums that are added up and stored by more than one thread.
_MANY_SUMS = 100_000
# Products of a unit at most: some 20 ms, since Python handles Ctrl-C between units.
_MOST_PRODUCTS = 2_000_000_000


class GradientProblem(NamedTuple):
    """The weight gradient of a layer; all that the engine depends on."""

    layer: LayerProblem
    gradient_dtype: np.dtype


class _Tiling(NamedTuple):
    """How the channels and the taps of a kernel row are cut into tiles."""

    channels: Channels  # output channels
    output_blocks: int  # of all groups
    group: int  # input channels
    run: int  # input channels of a group, times the taps of a row if they count as channels
    tiles: int  # that cover a run
    tile_channels: int
    taps: int  # runs of a kernel row
    run_taps: int
    is_channelwise: bool
    shared_stride: int  # for which a microkernel of small groups shares input among taps; 0 if it does not
    takes_all_rows: bool = False  # whether there is a microkernel of small groups for all kernel rows

    @classmethod
    def of(cls, layer: LayerProblem, lanes: int) -> _Tiling:
        group, columns = layer.x_shape[1] // layer.groups, layer.kernel[1]
        if channelwise_engine.supports(layer):
            run_taps, vectors = _channelwise_tile(layer, group, lanes)
            shared = layer.stride[1] if layer.dilation[1] == 1 and layer.stride[1] <= 2 else 0
            takes_all_rows = shared > 0 and weight_gradient_tile.holds_all_rows(layer.kernel[0], columns * group)
            if takes_all_rows:
                vectors = 1
            channels = Channels(vectors * lanes, -(-layer.outputs // (vectors * lanes)), 0, 0)
            run, taps = run_taps * group, columns // run_taps
            return cls(channels, channels.blocks, group, run, 1, run, taps, run_taps, True, shared, takes_all_rows)
        channels = Channels.of(layer.outputs // layer.groups, lanes)
        # The taps of a row, with all their channels, lie side by side: where channels do not fill tiles, they count as
        # channels.
        is_merged = layer.groups == 1 and layer.dilation[1] == 1 and columns > 1 and group % layer_tile.PIXELS != 0
        run = group * columns if is_merged else group
        tiles = -(-run // layer_tile.PIXELS)
        blocks = layer.groups * (channels.blocks + (channels.rest > 0))
        return cls(channels, blocks, group, run, tiles, -(-run // tiles), 1 if is_merged else columns, 1, False, 0)

    def sums(self, layer: LayerProblem) -> int:
        """Number of all sums."""
        tile = self.tile_channels * self.channels.block
        return self.output_blocks * self.tiles * layer.kernel[0] * self.taps * tile

    def places(self, layer: LayerProblem) -> np.ndarray:
        """For each weight of an output, the place of its sums: they are in the order (tile, row, run, channel)."""
        rows, columns = layer.kernel
        channel, tap = np.divmod(np.arange(self.group * rows * columns), rows * columns)
        row, column = np.divmod(tap, columns)
        line, place = row * columns + column, channel
        if self.run != self.group:  # the taps of a row count as channels
            line, place = row, column * self.group + channel
        tile = np.minimum(place // self.tile_channels, self.tiles - 1)
        place = place - np.minimum(tile * self.tile_channels, self.run - self.tile_channels)
        return np.ascontiguousarray((tile * rows * self.taps + line) * self.tile_channels + place, np.intp)

    def routine(self, vectors: int, compute) -> int:
        """Address of the microkernel for so many vectors of output channels."""
        if self.is_channelwise:
            function = weight_gradient_tile.make_channelwise(self.run_taps, self.group, vectors, self.shared_stride)
        else:
            function = weight_gradient_tile.make(self.tile_channels, vectors)
        return compiled_routine(function, weight_gradient_tile.signature(compute))

    def all_rows_routine(self, kernel_rows: int, compute) -> int:
        """Address of the microkernel for all kernel rows."""
        function = weight_gradient_tile.make_all_rows(kernel_rows, self.run_taps, self.group, self.shared_stride)
        return compiled_routine(function, weight_gradient_tile.all_rows_signature(compute))


class _Blocks(NamedTuple):
    """Images and output rows of a block."""

    images: int
    rows: int
    row_blocks: int
    total: int


@kept
def engine_of(problem: GradientProblem) -> GradientEngine:
    """Return the cached engine of a problem, or make it."""
    return GradientEngine(problem)


@compilation.once
def _finish():
    return compilation.compile_entry(weight_gradient_unit.finish_sums, weight_gradient_unit.finish_sums_signature())


class GradientEngine(UnitEngine):
    """Weight gradients of one `GradientProblem`, with any arrays of its types and sizes."""

    def __init__(self, problem: GradientProblem):
        layer = problem.layer
        self._layer = layer
        compute = layer_input.COMPUTE[layer.sums]
        lanes = max(1, processor().lanes(compute.bitwidth))
        outputs, size = layer.outputs // layer.groups, layer.sums.itemsize
        # The job has the addresses of these tables.
        fields, tables = layer_input.fields(layer, compute)
        tiling = _Tiling.of(layer, lanes)
        channels = tiling.channels
        self._tiling = tiling
        if tiling.is_channelwise:  # others pack a smaller part of what they compute
            edge_fields, edge_tables = layer_input.edges(layer)
            fields.update(edge_fields)
            tables.update(edge_tables)
        else:
            tables["places"] = tiling.places(layer)
        self._split_sums = tiling.sums(layer)
        blocks = _blocks(layer)
        self._splits, parts = _units(layer, blocks.total, tiling.output_blocks, self._split_sums)
        image_rows = min(
            fields["height"], (blocks.rows - 1) * layer.stride[0] + reach(layer.kernel[0], layer.dilation[0])
        )
        packed = blocks.images * image_rows * layer.needed[1] * layer.x_shape[1] * size
        packed = -(-packed // 64) * 64
        gradient = blocks.images * blocks.rows * layer.out_size[1] * layer.outputs * size
        # The last vectors read beyond the gradient.
        sums_at = -(-(packed + gradient + channels.block * size) // 64) * 64
        self._square = lanes * channels.block
        self._finish_tile = compiled_routine(
            weight_gradient_tile.make_finish(lanes), weight_gradient_tile.finish_signature(compute)
        )
        self._is_finished = blocks.total == 1 and not tiling.is_channelwise
        square_at = sums_at + -(-self._split_sums // tiling.output_blocks * size // 64) * 64
        scratch_bytes = square_at + self._square * size if self._is_finished else sums_at
        gradient_type = stored(problem.gradient_dtype, compute)

        own = {
            **fields,
            "compute_unit": unit_routine(weight_gradient_unit.gradient_unit),
            "tile": tiling.routine(channels.block // lanes, compute) if channels.blocks else 0,
            "tile_rest": tiling.routine(channels.rest_vectors, compute) if channels.rest else 0,
            "all_rows": tiling.all_rows_routine(layer.kernel[0], compute) if tiling.takes_all_rows else 0,
            "pack_gradient": transfer_routine(gradient_type, compute, not problem.gradient_dtype.isnative),
            "gradient_in_place": (
                gradient_type == compute
                and problem.gradient_dtype.isnative
                and (tiling.is_channelwise or outputs % lanes == 0)
            ),
            "gradient_bytes": problem.gradient_dtype.itemsize,
            "outputs": outputs,
            "number": layer.x_shape[0],
            "out_height": layer.out_size[0],
            "out_width": layer.out_size[1],
            "block_images": blocks.images,
            "block_rows": blocks.rows,
            "row_blocks": blocks.row_blocks,
            "all_blocks": blocks.total,
            "splits": self._splits,
            "parts": parts,
            "units": self._splits * parts,
            "tile_channels": tiling.tile_channels,
            "tiles": tiling.tiles,
            "taps": tiling.taps,
            "run_taps": tiling.run_taps,
            "is_channelwise": tiling.is_channelwise,
            "output_blocks": tiling.output_blocks,
            "run": tiling.run,
            "block_outputs": channels.block,
            "blocks": channels.blocks,
            "rest_outputs": channels.rest_vectors * lanes,
            "split_sums": self._split_sums,
            "places": tables["places"].ctypes.data if not tiling.is_channelwise else 0,
            "gradient_at": packed,
            "finish": self._finish_tile if self._is_finished else 0,
            "sums_at": sums_at,
            "square_at": square_at,
            "image_rows": image_rows,
        }
        job = weight_gradient_unit.GRADIENT_JOB.filled(own)
        self._set_job(job, compiled_loop(), tables, self._splits * parts, layer.products, scratch_bytes)

    def __call__(self, x: np.ndarray, gradient: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, contiguous, of the shape of the weights."""
        _pins = pinned(x, gradient, out)
        threads = self._threads(workers)
        sums = out if self._is_finished else np.empty((self._splits, self._split_sums), self._layer.sums)
        self._compute(for_threads(threads, x, gradient, sums, sums), (x, gradient), threads)
        if self._is_finished:
            return
        if self._tiling.is_channelwise:
            self._finish_channelwise(sums, out)
            return
        pieces = 1
        if sums.size >= _MANY_SUMS:
            pieces = min(self._tiling.output_blocks, 4 * threads)
        bounds = [self._tiling.output_blocks * k // pieces for k in range(pieces + 1)]
        calls = [
            (sums, np.empty(self._square, sums.dtype), out, self._job, self._finish_tile, *pair)
            for pair in itertools.pairwise(bounds)
        ]
        scheduler.run_each(_finish(), calls, min(threads, pieces))

    def _finish_channelwise(self, sums: np.ndarray, out: np.ndarray) -> None:
        """Add up the splits, and store them in `out`."""
        tiling = self._tiling
        blocks, rows, width = tiling.channels.blocks, self._layer.kernel[0], tiling.channels.block
        shape = (blocks, rows, tiling.taps, tiling.run_taps, tiling.group, width)
        with np.errstate(all="ignore"):
            total = np.add.reduce(sums, dtype=sums.dtype)
        # (block, row, run, tap, channel of the group, output) to (output, channel, row, column)
        total = total.reshape(shape).transpose(0, 5, 4, 1, 2, 3).reshape(blocks * width, *out.shape[1:])
        out[:-width] = total[: len(out) - width]
        out[-width:] = total[-width:]  # the last block slides back


def _channelwise_tile(layer: LayerProblem, size: int, lanes: int) -> tuple[int, int]:
    """Taps and vectors of a tile for groups of `size` channels: sums that fill most registers."""
    columns, registers = layer.kernel[1], processor().registers
    most = max(1, (registers - 4) // size)
    taps = max(taps for taps in range(1, min(columns, most) + 1) if columns % taps == 0)
    if size > 1:
        return taps, 1
    most, vectors = max(1, min(4, (registers - 2) // (taps + 1))), layer.outputs // lanes
    return taps, -(-vectors // -(-vectors // most))


def _blocks(layer: LayerProblem) -> _Blocks:
    """Cut images into blocks whose input and gradient stay in cache."""
    number, size = layer.x_shape[0], layer.sums.itemsize
    row_bytes = layer.needed[1] * layer.x_shape[1] * layer.stride[0] + layer.out_size[1] * layer.outputs
    row_bytes *= size
    rows = max(1, min(layer.out_size[0], _BLOCK_BYTES // row_bytes))
    weights_bytes = layer.outputs * layer.x_shape[1] // layer.groups * math.prod(layer.kernel) * size
    most = _MOST_BLOCK_BYTES if weights_bytes > _LARGE_WEIGHTS else _BLOCK_BYTES
    if most > _BLOCK_BYTES and row_bytes * layer.out_size[0] <= most:
        rows = layer.out_size[0]
    row_blocks, wanted = -(-layer.out_size[0] // rows), _wanted(layer)
    is_dealt_out = most == _BLOCK_BYTES  # to as many units as there are
    if is_dealt_out and number == 1 and row_blocks < 4 * wanted:
        row_blocks = min(layer.out_size[0], -(-row_blocks // wanted) * wanted)
    rows = -(-layer.out_size[0] // row_blocks)
    row_blocks = -(-layer.out_size[0] // rows)
    images = 1
    if row_blocks == 1:
        images = max(1, min(-(-number // wanted) if is_dealt_out else number, most // (row_bytes * rows)))
    return _Blocks(images, rows, row_blocks, -(-number // images) * row_blocks)


def _units(layer: LayerProblem, blocks: int, output_blocks: int, sums: int) -> tuple[int, int]:
    """Return the number of splits of all blocks of rows, and of parts of all output channels.

    Each split has sums of its own, which are cleared and added up: some 0.6 ns each, as new memory. Each part packs the
    input.
    """
    wanted = max(_wanted(layer), layer.products // _MOST_PRODUCTS)
    size = layer.sums.itemsize
    most = max(1, min(blocks, wanted, _MOST_SUMS // (sums * size) if sums * size < _LARGE_WEIGHTS else 1))
    samples = layer.x_shape[0] * layer.x_shape[1] * math.prod(layer.needed)

    def costs(splits: int) -> tuple[int, float]:
        parts = min(output_blocks, -(-wanted // splits))
        return -min(wanted, splits * parts), splits * sums * 0.6 + parts * samples * 0.1

    splits = min(range(1, most + 1), key=costs)
    return splits, max(1, min(output_blocks, -(-wanted // splits)))


def _wanted(layer: LayerProblem) -> int:
    """Units of a job that has enough work for them: an even number, for two threads."""
    return max(1, min(_UNITS, layer.products // _LEAST_PRODUCTS // 2 * 2))
