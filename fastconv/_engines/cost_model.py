"""Estimated time of a convolution by each method, in nanoseconds on one core, and the thresholds that go with it.

Constants were fitted to measurements with 256-bit vectors (AVX2 at 3.2 GHz). Only the order of estimates matters, and
with other vectors most methods gain or lose alike; where they do not, there are constants for both. The estimates
ignore the number of threads on purpose: the method affects the last bits of a result, which must not depend on the
number of threads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastconv._model.geometry import ZERO, products_inside
from fastconv._model.guarantees import PARTLY, RAW
from fastconv._model.problem import Problem

if TYPE_CHECKING:
    from fastconv._engines.spectra.overlap_save_tiling import TiledLayout

# ------------------------------------------------------------------------------------------- direct and separable

_VECTOR_BYTES = 32
# Per vector: reading, writing and everything else that does not depend on the kernel; and one tap.
_MOVE = 2.2
_TAP = 0.21
# A tap of a kernel of one row, where no rows share loads.
_LINE_TAP = 0.20
# Per vector: the buffer between two passes.
_BETWEEN = 2.0
# The same, and a tap of passes relative to one of a matrix; with AVX-512 passes gain less than the matrix, which loads
# less for each tap: 5x5 outer products of 2048 x 2048 float32 took 1.7 ms, and in passes 2.5.
_PASSES = _BETWEEN, 1.0
_WIDE_PASSES = 4.3, 1.6
# Moving a vector in two passes from pixels to pixels, and one of their taps.
_PIXELS = 2.2
_PIXEL_TAP = 0.16
_CALL = 4_000.0  # of any engine
CALL_OF_PASSES = 3_000.0  # on top of it
# Stacks of planes, per vector: packing of input, storing of results, and a tap where rows share loads or not.
_PACK = 3.0
_STORE = 3.0
_PLANE_TAP = 0.24
_PLANE_LINE_TAP = 0.44
_PLANES_CALL = 25_000.0
# Relative cost of a tap by bytes of an integer: products of 32 and 64 bits take several instructions, and of 64 bits
# more without AVX-512.
_INTEGER_TAP = {4: 2.0, 8: 5.0}
_WIDE_INTEGER_TAP = {4: 1.5, 8: 2.0}

# Below this direct time, another method gains little. Examining a kernel takes part of the gain; factoring takes a
# hundred thousand, but only once.
WORTH_A_LOOK = 20_000.0
# The same for trimming zeros around the kernel: finding a cached kernel takes four thousand.
WORTH_TRIMMING = 100_000.0
# The same for trimming zeros around the input, in the unit of `work`; four times as much for other methods than direct,
# which do little more for a sample than the look for zeros.
WORK_WORTH_TRIMMING = 500_000.0
# The direct engine leaves out the taps that reach no sample if products with samples are at most this share,
MOST_INSIDE = 7 / 8
# and for floats along a line, whose taps it must compare with their mirror image then, if the others are so many.
LEAST_OUTSIDE = 1_000_000


def direct(problem: Problem) -> float:
    """Estimate the direct engine."""
    rows = problem.kernel_shape[0] if len(problem.kernel_shape) == 2 else 1
    tap = _TAP if rows > 1 else _LINE_TAP
    return _CALL + _MOVE * _vectors(problem) + tap * work(problem, "direct")


def planes(problem: Problem, shares_rows: bool) -> float:
    """Estimate the engine for stacks of planes, where rows of a tile share loads or not."""
    moved = _vectors(problem)
    tap = _PLANE_TAP if shares_rows else _PLANE_LINE_TAP
    sums = moved * (_STORE + tap * _relative_tap(problem) * math.prod(problem.kernel_shape))
    return _PLANES_CALL + sums + _PACK * moved * math.prod(problem.strides)


def direct_outputs(problem: Problem, outputs):
    """Estimate the direct engine for some outputs, in small blocks; `outputs` may be an array."""
    item = problem.sums.itemsize
    return outputs * (2 * math.prod(problem.kernel_shape) * _TAP * item / _VECTOR_BYTES)


def separable(problem: Problem) -> float:
    """Estimate the separable engine, for a kernel that is an outer product."""
    rows, columns = problem.kernel_shape
    if problem.from_pixels:
        return _CALL + CALL_OF_PASSES + _vectors(problem) * (_PIXELS + _PIXEL_TAP * (rows + columns))
    between, tap = _WIDE_PASSES if _has_wide_vectors() else _PASSES
    taps = tap * _relative_tap(problem) * (_LINE_TAP * columns + _TAP * rows)
    return _CALL + CALL_OF_PASSES + _vectors(problem) * (_MOVE + between + taps)


def separable_volume(problem: Problem) -> float:
    """Estimate the separable engine for three and more axes, for a kernel that is an outer product."""
    taps = _TAP * _relative_tap(problem) * sum(taps for taps in problem.kernel_shape if taps > 1)
    return _CALL + CALL_OF_PASSES + _vectors(problem) * (_MOVE + 2 * _BETWEEN + taps)


def partly_separable(problem: Problem) -> float:
    """Estimate planes convolved with a matrix of taps, and summed along a line, for a kernel that is their product."""
    line, *matrix = problem.kernel_shape
    taps = _TAP * _relative_tap(problem) * (line + math.prod(matrix))
    return _PLANES_CALL + CALL_OF_PASSES + _vectors(problem) * (5 * _MOVE + 4 * _BETWEEN + taps)


def finiteness_check(problem: Problem) -> float:
    """Estimate the check that the input is finite."""
    if problem.x_dtype.kind not in "fc":
        return 0.0
    return _CALL + 0.15 * math.prod(problem.x_shape) * problem.x_dtype.itemsize


def work(problem: Problem, method: str) -> float:
    """Work of a method in products of vectors of floats, each some 0.2 ns: as an estimate, but the same everywhere."""
    taps = taps_of_a_result(problem) if method == "direct" else 80
    if method == "separable":
        taps = 20 + sum(problem.kernel_shape)
    elif method == PARTLY:
        taps = 20 + problem.kernel_shape[0] + math.prod(problem.kernel_shape[1:])
    return _vectors(problem) * _relative_tap(problem) * taps


def leaves_taps_out(problem: Problem, k: int) -> bool:
    """Whether the direct engine leaves out the taps that reach no sample along axis `k` of the kernel."""
    if problem.boundaries[k] != ZERO or not problem.looks_outside:
        return False
    outputs, taps = problem.out_shape[problem.axes[k]], problem.kernel_shape[k]
    inside, products = _products_inside(problem, k), outputs * taps
    if inside >= MOST_INSIDE * products:
        return False
    return (
        not is_line_of_floats(problem)
        or (products - inside) * (math.prod(problem.out_shape) // outputs) >= LEAST_OUTSIDE
    )


def is_line_of_floats(problem: Problem) -> bool:
    """Whether the kernel is a row or a column, and sums are floats: their order depends on its symmetry."""
    return problem.sums.kind in "fc" and math.prod(problem.kernel_shape) == max(problem.kernel_shape)


def _products_inside(problem: Problem, k: int) -> int:
    axis, taps = problem.axes[k], problem.kernel_shape[k]
    return products_inside(problem.x_shape[axis], taps, problem.out_shape[axis], problem.starts[k] - (taps - 1))


def most_taps_inside(problem: Problem, k: int, first, stop):
    """Most taps along axis `k` of the kernel that the direct engine sums for outputs from `first` to before `stop`.

    These may be arrays.
    """
    taps = problem.kernel_shape[k]
    if not leaves_taps_out(problem, k):
        return taps
    samples, start = problem.x_shape[problem.axes[k]], problem.starts[k]
    return np.clip(np.minimum(start + stop, samples + taps - 1 - start - first), 0, min(taps, samples))


def taps_of_a_result(problem: Problem) -> float:
    """Number of taps that the direct engine sums a result from, on average."""
    found = 1.0
    for k, (taps, axis) in enumerate(zip(problem.kernel_shape, problem.axes)):
        cut = leaves_taps_out(problem, k)
        found *= _products_inside(problem, k) / problem.out_shape[axis] if cut else taps
    return found


def _vectors(problem: Problem) -> float:
    """Number of vectors that the result fills, times the parts of complex samples, pairs and kernels."""
    parts = 2 if problem.x_dtype.kind == "c" or problem.pairs else 1
    parts *= 2 if problem.kernel_dtype.kind == "c" else 1
    item = max(2, problem.sums.itemsize // (2 if problem.sums.kind == "c" else 1))
    if problem.sums.kind == "b":
        item = 4
    return math.prod(problem.out_shape) * parts * item / _VECTOR_BYTES


def _relative_tap(problem: Problem) -> float:
    """Cost of a tap relative to one of floats."""
    if problem.sums.kind not in "iu":
        return 1.0
    costs = _WIDE_INTEGER_TAP if _has_wide_vectors() else _INTEGER_TAP
    return costs.get(problem.sums.itemsize, 1.0)


def _has_wide_vectors() -> bool:
    from fastconv._simd.target import processor  # imports Numba

    return processor().vector_bytes == 64


# --------------------------------------------------------------------------------------------------- overlap-save

# Per point of a tile, by bytes of a real number: a pass of radix 4; transposition and the product with the spectrum;
# moving two packed tiles between their arrays and the plane; the twiddle factors of a four-step transform.
_PASS = {4: 0.15, 8: 0.29}
_TRANSPOSE = {4: 0.55, 8: 1.0}
_TILE_MOVE = {4: 1.1, 8: 1.8}
_TWIDDLE = {4: 0.3, 8: 0.6}
# Per row of a tile, of any length.
_ROW = 40.0
# Passes of other radices relative to radix 4, per point.
_BY_RADIX = {2: 0.85, 3: 1.2, 4: 1.0, 5: 1.65}
# Slowdown of a tile, by the bytes of its plane.
_PLANE_BYTES = [2**19, 2**20, 2**21, 2**24, 2**26, 2**28]
_OUT_OF_CACHE = [1.0, 1.25, 1.5, 1.7, 2.5, 3.0]
# Cost of transforming the kernel, relative to transforming a tile forward and back.
_KERNEL = 0.4
_FFT_CALL = 15_000.0
# Per element that is not adjacent to the next one, since channels are last: loading and storing it.
_STRIDED = 3.0
# The estimate of a tile serves to compare tiles; these factors make it comparable with other methods.
_VERSUS_OTHERS = {4: 1.05, 8: 1.25}
_FOUR_STEP_VERSUS_OTHERS = 1.2

# A tile in double precision relative to one in single.
IN_DOUBLE = 2.3
# A tile that is transformed once more, without loud samples, relative to the first time; and what all must gain.
AGAIN = 1.5
CALL_AGAIN = 200_000.0

# A plane of more bytes than this is shared by threads, in `SHARES` parts, if there are fewer units of work than parts.
LARGE_PLANE = 1 << 23
SHARES = 32


# Footprints of few columns are checked column by column, or in narrow cells: 1024 x 1024 float32 by 7x7 to 11x11 took
# 1.25 times as long as without a check.
_CHECKED_BY_COLUMN, _CHECKED_NARROWLY = 1.7, 1.25


def fft(problem: Problem, layout: TiledLayout) -> float:
    """Estimate the overlap-save engine, the spectrum of the kernel included."""
    item = 8 if problem.sums.kind in "iu" else problem.sums.itemsize // (2 if problem.sums.kind == "c" else 1)
    more = _VERSUS_OTHERS[item] * (_FOUR_STEP_VERSUS_OTHERS if layout.tile.four_step else 1)
    last = len(problem.x_shape) - 1
    is_strided = len(problem.axes) == 2 and last not in problem.axes and problem.x_shape[last] > 1
    strided = _STRIDED * math.prod(problem.out_shape) if is_strided else 0
    if problem.guarantee != RAW and problem.sums.kind in "fc" and layout.tile.across:
        taps = layout.column_axis.taps
        more *= _CHECKED_BY_COLUMN if taps < 7 else _CHECKED_NARROWLY if taps < 13 else 1
    return _FFT_CALL + strided + more * layout.tile.cost * (1 + _KERNEL / (layout.units.total + 1))


def transform_passes(radices: list[int]) -> float:
    """Cost of the passes of a transform per point, relative to one of radix 4."""
    return sum(_BY_RADIX[radix] for radix in radices)


def tile_point(item: int, columns, passes, transposed: bool, four_step: bool = False):
    """Estimate one point of a tile; `columns` and `passes` (of both transforms) may be arrays."""
    transpose = _TRANSPOSE[item] if transposed else 0.0
    twiddle = _TWIDDLE[item] if four_step else 0.0
    return _TILE_MOVE[item] + _ROW / columns + transpose + twiddle + 2 * _PASS[item] * passes


def tiles(item: int, units, points, point):
    """Estimate `units` of work, tiles of `points` points that take `point` each; all may be arrays."""
    slowdown = np.interp(np.log2(points * 2 * item), np.log2(_PLANE_BYTES), _OUT_OF_CACHE)
    # One more unit: at the end some threads wait for others.
    return (units + 1) * points * point * slowdown


def volume_transform(points: int, passes: float, moves: int, item: int) -> float:
    """Estimate transforms of volumes of so many points: passes of radix 4, and moves, over all of them."""
    return _FFT_CALL + points * (_PASS[item] * passes + _VOLUME_MOVE[item] * moves)


# Per point of the spectrum of a volume: moving, transposing and tangling it.
_VOLUME_MOVE = {4: 2.0, 8: 4.0}


# ------------------------------------------------------------------------------------------------------- threads

# Overlap-save, in nanoseconds. With less work one thread is as fast: another takes 0.05 to 0.1 ms to wake up.
WORK_FOR_THREADS = 150_000
WORK_BETWEEN_SIGNALS = 10_000_000  # between two checks for pending signals

# The same for the block engines, in multiplications plus a few for each output: some 0.15 and 10 ms.
PRODUCTS_FOR_THREADS = 6_000_000
PRODUCTS_BETWEEN_SIGNALS = 300_000_000
# What a block or a unit takes however small it is, 0.2 to 2 us.
PRODUCTS_OF_A_PIECE = 10_000
# With fewer, some 10 us, releasing and acquiring the GIL costs more than other threads gain.
PRODUCTS_WITHOUT_GIL = 500_000
