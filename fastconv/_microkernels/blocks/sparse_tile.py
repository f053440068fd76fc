"""The microkernel for kernels most of whose taps are zero: a list of the samples that the others take.

Results are computed in tiles of several rows. A vector of input is loaded once for all rows of a tile that have a tap
there: a line at an angle has one or two taps in each column, and four rows share most of their loads. Each output adds
the products of `direct_tile`, in its order, but for those with zeros.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.blocks.direct_tile import ROWS, VECTORS
from fastconv._simd import compilation
from fastconv._simd.memory import advance, integers_at, load, pointer_to, store
from fastconv._simd.register_tiles import (
    accumulate_nonfinite,
    stack_integers,
    store_rows,
    sum_of_lanes,
    sweep_listed,
    width,
    zeros,
)

# The most taps that are not zero. In a list for tiles each may have an entry of its own for each row.
MOST_TAPS = 64
_MOST_ENTRIES = (ROWS + 1) * MOST_TAPS


def signature(dtype):
    """Signature of `convolve_sparse` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, n, n, n, n, pointer, n, n, n, n, n, n)


def listed(taps: np.ndarray, step: int) -> np.ndarray:
    """The lists of a flipped kernel, for tiles and for single rows, as the bytes that `convolve_sparse` reads.

    These are integers: the number of entries of each list, and of all of them the rows of input, the elements along
    it, and the rows of a tile that take the sample, one bit each. The weights for these follow, in the type of `taps`.
    """
    lists = [_entries(taps, ROWS), _entries(taps, 1)]
    columns = [np.concatenate(parts) for parts in zip(*(entries for entries, _ in lists))]
    columns[1] *= step
    numbers = np.concatenate(([len(entries[0]) for entries, _ in lists], *columns)).astype(np.intp)
    return np.concatenate((numbers.view(np.uint8), *(weights.view(np.uint8) for _, weights in lists)))


def _entries(taps: np.ndarray, height: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Rows and columns of the samples under a tile of so many rows, and the tile's rows that take them; the weights."""
    weights = np.zeros((len(taps) + height - 1, taps.shape[1], height), taps.dtype)
    for row in range(height):
        weights[row : row + len(taps), :, row] = taps
    is_used = weights != 0
    rows, columns = np.nonzero(is_used.any(-1))
    return (rows, columns, is_used[rows, columns] @ (1 << np.arange(height))), weights[is_used]


def _make_rows(height: int):
    @compilation.inline
    def convolve_rows(x, distances, masks, weights, count, out, out_pitch, columns, not_finite):
        """So many rows of results; adds to `not_finite` as `accumulate_nonfinite`."""
        c = 0
        while c < columns:
            tile = zeros(x, height, VECTORS)
            # The last tile slides back: it computes again, and never reads outside.
            c = min(c, columns - width(tile))
            tile = sweep_listed(tile, advance(x, c), distances, masks, weights, count)
            store_rows(tile, height, advance(out, c), out_pitch)
            not_finite = accumulate_nonfinite(not_finite, tile)
            c += width(tile)
        return not_finite

    return convolve_rows


_convolve_tiles, _convolve_row = _make_rows(ROWS), _make_rows(1)


def convolve_sparse(
    x, x_pitch, kernel, buffer, _pitch, _number, _at_a_time, _samples,
    out, out_pitch, height, columns, _rows, _taps, _step,
):  # fmt: skip
    """Correlate with the taps that are `listed`, at the address `kernel`; pitches are in elements.

    If a result is not finite, the first element of the buffer becomes a NaN; otherwise it is unchanged. The parameters
    that are not used are those of `separable_passes.pass_twice`.
    """
    numbers = integers_at(kernel, 0)
    tiles, single = numbers[0], numbers[1]
    count = tiles + single
    rows, offsets, masks = advance(numbers, 2), advance(numbers, 2 + count), advance(numbers, 2 + 2 * count)
    weights = pointer_to(x, kernel + 8 * (2 + 3 * count))
    distances = stack_integers(_MOST_ENTRIES)
    for k in range(count):
        distances[k] = rows[k] * x_pitch + offsets[k]
    not_finite = zeros(out, 1, VECTORS)
    tall = height // ROWS * ROWS
    for r in range(0, tall, ROWS):
        not_finite = _convolve_tiles(
            advance(x, r * x_pitch), distances, masks, weights, tiles,
            advance(out, r * out_pitch), out_pitch, columns, not_finite,
        )  # fmt: skip
    for r in range(tall, height):
        not_finite = _convolve_row(
            advance(x, r * x_pitch), advance(distances, tiles), advance(masks, tiles), advance(weights, ROWS * single),
            single, advance(out, r * out_pitch), out_pitch, columns, not_finite,
        )  # fmt: skip
    store(buffer, load(buffer) + sum_of_lanes(not_finite))
