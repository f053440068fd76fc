"""The engine of layers with large kernels: spectra of tiles, summed over channels before they are transformed back.

Runs `spectral_unit`. The error of a result is relative to the largest samples of its tile, in all channels, not to
those under the kernel; with a kernel for each channel, to those of one or two tiles of an image in that channel. To
first order it is at most ``12 * eps * (log2(points of a tile) + 1) * norm(x) * norm(kernel)``, in 2-norms over the
tiles and channels, where these norms are not near the smallest numbers. A tile holds an infinity, a NaN, or one that
overflows, in all of its results: then, and where all samples or weights are near the smallest numbers, the engine says
so, and another computes the layer.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, NamedTuple

import numpy as np

from fastconv._engines.layers import layer_input
from fastconv._engines.layers.layer_unit_engine import LayerUnitEngine
from fastconv._engines.layers.weight_packing import PackedWeights
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import compiled_routine, transfer_routine
from fastconv._engines.scratch_memory import lent_scratch
from fastconv._engines.spectra.fft_tables import radices, transform
from fastconv._engines.spectra.overlap_save_job import axis_job
from fastconv._engines.spectra.overlap_save_tiling import single_tile_size
from fastconv._engines.unit_engine import compiled_loop, unit_routine
from fastconv._microkernels.block_cutting import Axis
from fastconv._microkernels.layers import spectral_products, spectral_unit
from fastconv._microkernels.spectra import fft_passes
from fastconv._model.geometry import MIRROR, REFLECT, WRAP, ZERO, products_inside
from fastconv._model.layer_problem import LayerProblem, reach
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import placed
from fastconv._simd import compilation
from fastconv._simd.target import processor

# Fewer taps are summed directly, whatever the estimates say: sums are as exact as their order allows then.
LEAST_TAPS = 49
# Spectra of weights, at most: of so many bytes; and points of a side of a tile.
_MOST_WEIGHTS, _LONGEST = 500_000_000, 1024
# Channels that are packed or stored at a time, in one piece where they are side by side: at most, and of planes of so
# many bytes.
_STAGED, _STAGING_BYTES = 16, 1_000_000
# Repetitions of an image by its boundary, at most: each is a run of samples in a table.
_REPETITIONS = 16
# Spectra of the input and of the results of a unit, in bytes: with the rest, as much scratch memory as a thread keeps.
_UNIT_BYTES = 3_000_000
# Units of a job that has enough work for them, of at least, and at most, so many nanoseconds: Python handles Ctrl-C in
# between.
_UNITS = 4
_LEAST_UNIT, _MOST_UNIT = 300_000, 20_000_000
# Nanoseconds with vectors of eight elements: for a point a pass of radix 4 in one direction, moving and transposing it,
# and a product that is added to others; a product of a direct layer, and one with a kernel for each channel, which with
# channels last takes thrice as long as with channels first.
_PASS, _MOVE, _PRODUCT, _DIRECT, _DIRECT_DEPTHWISE = 0.2, 1.0, 0.1, 0.0155, 0.04
# Nanoseconds for each byte of the weights' spectra that is loaded, from the cache of all cores or from beyond.
_LOAD, _LOAD_FAR, _CACHE = 0.04, 0.07, 20_000_000
# What the engine is to gain.
GAIN = 1.15
_CALL = 30_000.0
# Samples that are looked at for a large one at a time.
_LOOKED_AT = 1 << 14


class SpectralWeights(NamedTuple):
    """Spectra of weights with their biases, and the largest size of a weight."""

    spectra: PackedWeights
    largest: float

    @property
    def nbytes(self) -> int:
        return self.spectra.nbytes


class Tiling(NamedTuple):
    """The tile of a layer, and its cost for one image without its call, in nanoseconds."""

    rows: int
    columns: int
    tiles: tuple[int, int]  # of an image, down and across
    weights_bytes: int  # of their spectra
    cost: float
    weights_cost: float

    @property
    def points(self) -> int:
        return self.rows * self.columns


def supports(problem: LayerProblem) -> bool:
    """Whether the engine can compute a layer: of floats, with stride 1, and taps along both axes."""
    if problem.sums.kind != "f" or problem.stride != (1, 1) or min(problem.kernel) < 2 or min(problem.out_size) < 1:
        return False
    if not layer_input.supports(problem) or math.prod(problem.kernel) < LEAST_TAPS:
        return False
    repeats = problem.boundary in (WRAP, REFLECT, MIRROR)
    if repeats and any(map(operator.gt, problem.needed, (_REPETITIONS * extent for extent in problem.x_shape[2:]))):
        return False
    return tiling_of(problem) is not None


def is_faster(problem: LayerProblem) -> bool:
    """Whether the engine is faster than others, by estimates that know neither the layout nor the threads."""
    tiling = tiling_of(problem)
    assert tiling is not None
    cost = _CALL + tiling.weights_cost + problem.x_shape[0] * tiling.cost
    return GAIN * cost < _direct_cost(problem)


def tiling_of(problem: LayerProblem) -> Tiling | None:
    """The tile of a layer: that for one image, in any layout, with or without activation; None if there is none."""
    return _fastest_tile(problem._replace(x_shape=(1, *problem.x_shape[1:]), channels_last=False, rectify=False))


def _direct_cost(problem: LayerProblem) -> float:
    """Nanoseconds of the other engines, which leave out rows outside."""
    rows = products_inside(problem.x_shape[2], problem.kernel[0], problem.out_size[0], problem.starts[0])
    share = 1.0
    if problem.boundary == ZERO and problem.dilation[0] == 1:
        share = rows / (problem.kernel[0] * problem.out_size[0])
    product = _DIRECT_DEPTHWISE if _is_depthwise(problem) else _DIRECT
    outputs = problem.outputs // problem.groups
    lanes = _lanes(problem)
    waste = 1.0 if outputs < 12 else -(-outputs // lanes) * lanes / outputs
    return share * waste * problem.products * product * _scale(problem)


def _is_depthwise(problem: LayerProblem) -> bool:
    return problem.x_shape[1] == problem.groups == problem.outputs


def _lanes(problem: LayerProblem) -> int:
    return processor().lanes(8 * problem.sums.itemsize)


def _scale(problem: LayerProblem) -> float:
    """Costs relative to those of vectors of eight elements."""
    return 8 / _lanes(problem)


def _axes(problem: LayerProblem) -> tuple[Axis, Axis]:
    """The axes of a layer as those of convolutions with flipped kernels."""
    down, across = (
        Axis(problem.x_shape[2 + k], problem.out_size[k], reach(problem.kernel[k], problem.dilation[k]),
             problem.starts[k], problem.boundary)
        for k in (0, 1)
    )  # fmt: skip
    return down, across


@kept
def _fastest_tile(problem: LayerProblem) -> Tiling | None:
    """The fastest tile of a layer of one image, its weights included; None if there is none."""
    unit = max(16, _lanes(problem))
    sizes = sorted({unit * odd << k for odd in (1, 3, 5, 9, 15) for k in range(7)})
    sides = [
        [(size, tiles) for size in sizes if size <= _LONGEST and (tiles := _tiles(axis, size))]
        for axis in _axes(problem)
    ]
    found = (_tiling(problem, *down, *across) for down, across in itertools.product(*sides))
    possible = (tiling for tiling in found if tiling.weights_bytes <= _MOST_WEIGHTS)
    return min(possible, key=lambda tiling: tiling.cost + tiling.weights_cost, default=None)


def _tiles(axis: Axis, size: int) -> int:
    """Number of tiles of `size` points along an axis; 0 if those are too small."""
    if size >= single_tile_size(axis):
        return 1
    return -(-axis.outputs // (size - axis.taps + 1)) if size > axis.taps else 0


def _tiling(problem: LayerProblem, rows: int, down: int, columns: int, across: int) -> Tiling:
    """Tiles of `rows` by `columns`, `down` by `across` of them in an image."""
    channels, points, tiles = problem.x_shape[1], rows * columns, down * across
    kernels = _pairs(problem) * channels // problem.groups
    weights_bytes = 2 * problem.sums.itemsize * points * kernels
    transform = _PASS * (len(radices(rows)) + len(radices(columns))) + _MOVE
    loads = 0.0
    if _is_depthwise(problem):
        work = 2 * channels * -(-tiles // 2) * transform
    else:
        work = tiles * ((channels + _pairs(problem)) * transform + kernels * _PRODUCT)
        loads = tiles / _most_tiles(problem, points) * weights_bytes * (_LOAD if weights_bytes < _CACHE else _LOAD_FAR)
    point = points * _scale(problem)
    return Tiling(rows, columns, (down, across), weights_bytes, point * work + loads, point * kernels * transform)


def _pairs(problem: LayerProblem) -> int:
    """Pairs of outputs that are transformed as one plane; where each channel has a kernel of its own, those."""
    groups = problem.groups
    return problem.outputs if _is_depthwise(problem) else groups * -(-(problem.outputs // groups) // 2)


def _most_tiles(problem: LayerProblem, points: int) -> int:
    """Tiles whose spectra fit into a unit."""
    channels, outputs = problem.x_shape[1] // problem.groups, problem.outputs // problem.groups
    return max(1, _UNIT_BYTES // (2 * problem.sums.itemsize * points * (channels + -(-outputs // 2))))


@kept
def engine_of(problem: LayerProblem) -> SpectralEngine:
    """Return the cached engine of a problem, or make it."""
    return SpectralEngine(problem)


@compilation.once
def _transform_kernels():
    return compilation.compile_entry(spectral_unit.transform_kernels, spectral_unit.transform_kernels_signature())


def compile_all(sums: np.dtype) -> None:
    """Compile what depends on the sizes of layers with sums of this type: transforms, and products of some tiles."""
    compute = layer_input.COMPUTE[sums]
    transform(480, compute)  # passes of every radix
    for count in range(1, spectral_products.TILES + 1):
        compiled_routine(spectral_products.make_products(count), spectral_products.products_signature(compute))


class SpectralEngine(LayerUnitEngine):
    """Layers of one `LayerProblem` that `supports` accepts."""

    def __init__(self, problem: LayerProblem):
        self._problem = problem
        tiling = tiling_of(problem)
        assert tiling is not None
        self._tiling = tiling
        compute = layer_input.COMPUTE[problem.sums]
        lanes, item = _lanes(problem), problem.sums.itemsize
        rows, columns, points = tiling.rows, tiling.columns, tiling.points
        groups, is_depthwise = problem.groups, _is_depthwise(problem)
        channels, outputs = problem.x_shape[1] // groups, problem.outputs // groups
        self._is_depthwise, self._channels, self._outputs = is_depthwise, channels, outputs
        pairs = spectral_products.PAIRS
        blocks = -(-((outputs + 1) // 2) // pairs)
        self._blocks = blocks
        tiles_of_image = math.prod(tiling.tiles)
        tiles = problem.x_shape[0] * tiles_of_image
        cost = problem.x_shape[0] * tiling.cost
        chunks, parts = self._cut(tiles, cost)
        units = problem.x_shape[0] * -(-tiles_of_image // 2) * parts if is_depthwise else chunks * parts * groups
        most_tiles = -(-tiles // chunks)
        count = min(most_tiles, spectral_products.TILES)
        most_blocks = -(-blocks // parts)
        point, apart = 2 * lanes, 64 // item  # so that the points of a spectrum do not share a set of the cache
        x_point = most_tiles * channels * point + apart
        y_tile = most_blocks * pairs * point
        y_point = most_tiles * y_tile + apart
        self._weights_point = groups * blocks * channels * pairs * point + apart
        self._parts = axes = tuple(
            axis_job(axis, size, True, transform(size, compute)) for axis, size in zip(_axes(problem), (rows, columns))
        )
        samples = points * item
        staged = max(1, min(_STAGED, _STAGING_BYTES // samples) // 2) * 2
        pitch = 2 * columns + apart
        sizes = {
            "points_at": rows * pitch * item,
            "zeros_at": columns * point * item,
            "staging_at": samples,
            "second_at": staged * samples,
            "x_at": staged * samples,
            "y_at": 0 if is_depthwise else points // lanes * x_point * item,
            "end": 0 if is_depthwise else points // lanes * y_point * item,
        }
        offsets = {"plane_at": -(-spectral_unit.SPECTRAL_HEAD.dtype.itemsize // 64) * 64}
        place = offsets["plane_at"]
        for name, before in sizes.items():
            place += -(-before // 64) * 64
            offsets[name] = place
        scratch_bytes = offsets.pop("end")
        self._kernel_scratch = offsets["zeros_at"]

        def routine(function, signature):
            return compiled_routine(function, signature(compute))

        middle, rows_signature = fft_passes.middle_signature, fft_passes.rows_signature
        own = {
            "pack": transfer_routine(stored(problem.x_dtype, compute), compute, not problem.x_dtype.isnative),
            "fill": transfer_routine(compute, compute),
            "store": transfer_routine(compute, compute),
            "spread": routine(spectral_products.spread, spectral_products.spread_signature),
            "spread_taps": routine(spectral_products.spread_taps, spectral_products.spread_taps_signature),
            "finish": routine(spectral_products.finish, spectral_products.finish_signature),
            "transpose_rows": routine(fft_passes.transpose_rows, rows_signature),
            "transpose_back": routine(fft_passes.transpose_back, rows_signature),
            "last_pass": routine(fft_passes.last_pass, middle),
            "first_pass_back": routine(fft_passes.first_pass_back, middle),
            "item": item,
            "x_bytes": problem.x_dtype.itemsize,
            "fill_value": _bytes(problem.fill_value, problem.sums, 16),
            "scale": _bytes(1 / points, problem.sums, 8),
            "rows": rows,
            "columns": columns,
            "lanes": lanes,
            "pitch": pitch,
            "down": axes[0].record,
            "across": axes[1].record,
            "kernel_rows": problem.kernel[0],
            "kernel_columns": problem.kernel[1],
            "row_dilation": problem.dilation[0],
            "column_dilation": problem.dilation[1],
            "channels": channels,
            "groups": groups,
            "outputs": outputs,
            "rectify": problem.rectify,
            "is_depthwise": is_depthwise,
            "pairs": pairs,
            "blocks": blocks,
            "parts": parts,
            "staged": staged,
            "tiles": tiles,
            "chunks": chunks,
            "compute_unit": unit_routine(
                spectral_unit.spectral_channels_unit if is_depthwise else spectral_unit.spectral_unit
            ),
            "units": units,
            "least_tiles": count,
            "weights_point": self._weights_point,
            "x_point": x_point,
            "y_tile": y_tile,
            "y_point": y_point,
            "scatter": routine(spectral_products.scatter, spectral_products.gather_signature),
            "gather": routine(spectral_products.gather, spectral_products.gather_signature),
            **offsets,
        }
        if is_depthwise:
            own["product"] = routine(fft_passes.spectrum_product, middle)
        else:
            own["products"] = routine(spectral_products.make_products(count), spectral_products.products_signature)
        job = spectral_unit.SPECTRAL_JOB.filled(own)
        # In products of a direct layer, which other engines count.
        products = int(40 * cost)
        self._set_job(job, compiled_loop(), {}, units, products, scratch_bytes)
        self.nbytes += sum(axis.nbytes for axis in axes)

    def _cut(self, tiles: int, cost: float) -> tuple[int, int]:
        """Chunks of the tiles and parts of the outputs; depends on sizes alone."""
        problem, groups = self._problem, self._problem.groups
        wanted = max(min(_UNITS, int(cost / _LEAST_UNIT)), int(cost / _MOST_UNIT), 1)
        if self._is_depthwise:
            pairs = problem.x_shape[0] * -(-math.prod(self._tiling.tiles) // 2)
            return 1, min(-(-groups // _STAGED), max(1, -(-wanted // pairs)))
        chunks = -(-tiles // _most_tiles(problem, self._tiling.points))
        chunks = max(chunks, min(-(-wanted // groups), -(-tiles // spectral_products.TILES)))
        return chunks, min(self._blocks, max(1, wanted // (groups * chunks)))

    @property
    def packing(self) -> tuple:
        """What the order of packed weights depends on: engines with the same share them."""
        return "spectral", self._problem.sums, self._problem.groups, self._problem.dilation, self._tiling[:2]

    def __call__(self, x: np.ndarray, packed: Any, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; return False if another engine is to do so."""
        return self._may_transform(x, packed.largest) and super().__call__(x, packed.spectra, out, workers)

    def _may_transform(self, x: np.ndarray, largest: float) -> bool:
        """Whether spectra, those of weights divided by the points of a tile, and their products do not underflow."""
        least = self._tiling.points * float(np.finfo(self._problem.sums).tiny)
        if largest == 0:
            return True
        return not largest < least and not _is_small(x, max(least, least / largest))

    def pack(self, weights: np.ndarray, bias: np.ndarray | None, is_kept: bool = False) -> SpectralWeights:
        """Transform weights of shape (outputs, channels of a group, rows, columns); put biases in pairs."""
        problem, tiling, sums = self._problem, self._tiling, self._problem.sums
        if weights.dtype != sums or not weights.flags.aligned or not weights.flags.c_contiguous:
            given, weights = weights, np.empty(weights.shape, sums)
            interruptible_numpy.copy(weights, given)
        points = tiling.points // _lanes(problem)
        elements = 2 * tiling.points * problem.outputs if self._is_depthwise else points * self._weights_point
        raw = interruptible_numpy.zeros((elements * sums.itemsize + 64,), np.uint8)
        table = placed(raw[-raw.ctypes.data % 64 :][: elements * sums.itemsize].view(sums))
        pairs = problem.groups * (self._outputs if self._is_depthwise else -(-self._outputs // 2))
        kernels = pairs * self._channels
        step = max(1, int(4e6 * kernels / max(1.0, tiling.weights_cost)))
        for first in range(0, kernels, step):
            with lent_scratch(self._kernel_scratch) as scratch:
                arguments = weights, table.ctypes.data, self._job, scratch.ctypes.data
                _transform_kernels()(*arguments, first, min(first + step, kernels))
        width = self._blocks * spectral_products.PAIRS
        biases = np.zeros((problem.groups, self._outputs if self._is_depthwise else 2 * width), sums)
        if bias is not None:
            biases[:, : self._outputs] = bias.reshape(problem.groups, self._outputs)
        if self._is_depthwise:
            biases = np.repeat(biases, 2, axis=1)
        chunks = interruptible_numpy.chunk_slices(weights.shape)
        return SpectralWeights(PackedWeights(table, biases), max(map(_largest, (weights[chunk] for chunk in chunks))))


def _largest(numbers: np.ndarray) -> float:
    """The largest size of some numbers; a NaN if there is one."""
    with np.errstate(invalid="ignore"):  # raised by a signalling NaN
        return float(np.maximum(float(numbers.max(initial=0)), -float(numbers.min(initial=0))))


def _is_small(x: np.ndarray, least: float) -> bool:
    """Whether all numbers are less than the least one, and some are not 0; the first that is not ends the search."""
    found = 0.0
    for chunk in interruptible_numpy.chunk_slices(x.shape, _LOOKED_AT):
        size = _largest(x[chunk])
        if not size < least:
            return False
        found = max(found, size)
    return found > 0


def _bytes(value, dtype: np.dtype, size: int) -> np.ndarray:
    """A number at the start of so many bytes."""
    found = np.zeros(size, np.uint8)
    with np.errstate(all="ignore"):
        found[: dtype.itemsize] = np.asarray(value).astype(dtype).reshape(1).view(np.uint8)
    return found
