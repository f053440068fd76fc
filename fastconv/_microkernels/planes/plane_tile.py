"""The microkernels of a stack of planes: the sum of many small correlations, in registers from the first to the last.

All compute a rectangle (the engine has flipped the kernel)::

    out[r, c] = sum over entries e, rows i, taps j of e.weights[i, j] * e.x[r + i, c + j * step]

or, for a stride of 2 that is not dealt out to phases, of ``e.weights[i, j] * e.x[r + i, 2 * c + j]``,

in the type of `out`, which is also that of the accumulators. Each output adds its products in this order, whatever its
tile, so the result does not depend on the tile's shape or place, to the last bit. Error: as of `direct_tile`.

A sum of more entries than fit into memory is computed in parts: it begins with the sums at `partial`, which must not
overlap `out`, since the last tile of a row or a column slides back.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types

from fastconv._microkernels.blocks import direct_tile
from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.memory import advance, pointer_to
from fastconv._simd.register_tiles import (
    load_rows,
    store_rows,
    sweep,
    sweep_alternate,
    sweep_some,
    width,
    zero_row,
    zeros,
)
from fastconv._simd.target import processor

# A part of a plane, and the weights that it is multiplied with: addresses, pitch in elements, size of the kernel.
ENTRY = Record("Entry", dict.fromkeys(("x", "pitch", "weights", "rows", "taps"), np.intp))
_entry_at = reader(ENTRY)

ROWS = direct_tile.ROWS
# Vectors of a tile of `ROWS` rows, and of one row: the wide one, and one for narrow outputs. With 8 vectors two FMA
# units of latency 4 are busy.
TILES = direct_tile.VECTORS, 2
LINES = (8, 4) if processor().registers >= 32 else (6, 3)


# Least bytes of an element for samples that lie 2 apart: bytes and pairs of them would take several shuffles.
LEAST_APART = 4


def tiles(has_rows: bool, apart: int) -> tuple[int, ...]:
    """Vectors of the tiles that there are."""
    found = TILES if has_rows else LINES
    # Samples of two taps at once need more registers.
    return found[1:] if apart == 2 and processor().registers < 32 else found


def vectors_for(elements: int, itemsize: int, has_rows: bool, apart: int = 1) -> int:
    """Vectors of the tile that computes so many elements of a row in the least time: some more for each tile."""
    lanes = processor().vector_bytes // itemsize
    return min(tiles(has_rows, apart), key=lambda vectors: -(-elements // (vectors * lanes)) * (vectors + 1))


def signature(dtype):
    """Signature of the microkernels for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(n, n, n, pointer, n, pointer, n, n, n, n)


@compilation.inline
def _adjacent(tile, x, x_pitch, step, weights, rows, taps):
    """Accumulate all rows of a kernel into a tile of `ROWS` rows, for adjacent results."""
    # Input row i is kernel row i of tile row 0, kernel row i - 1 of tile row 1, and so on.
    for i in range(rows + ROWS - 1):
        first, last = larger(0, i - rows + 1), smaller(ROWS, i + 1)
        tile = sweep_some(tile, first, last, i, x, x_pitch, step, weights, taps, taps)
    return tile


@compilation.inline
def _adjacent_line(tile, x, x_pitch, step, weights, rows, taps):
    """The same into a tile of one row."""
    for i in range(rows):
        tile = sweep(tile, 0, 1, 0, advance(x, i * x_pitch), 0, step, advance(weights, i * taps), 0, taps)
    return tile


@compilation.inline
def _alternate(tile, x, x_pitch, step, weights, rows, taps):
    """The same for every second result, into a tile of any number of rows."""
    return sweep_alternate(tile, x, x_pitch, weights, rows, taps)


def _make_line(apart: int):
    sweep_rows = _adjacent_line if apart == 1 else _alternate

    @compilation.inline
    def line(tile, out, entries, count, shift, partial, partial_pitch, r, c, step):
        """Sums of one row of outputs, number `r`, in a tile of one row."""
        if partial_pitch != 0:
            tile = load_rows(tile, advance(partial, r * partial_pitch + c), partial_pitch)
        for e in range(count):
            entry = _entry_at(entries, e)
            corner = advance(pointer_to(out, entry.x), r * entry.pitch + c * apart)
            weights = pointer_to(out, entry.weights + shift)
            tile = sweep_rows(tile, corner, entry.pitch, step, weights, entry.rows, entry.taps)
        return tile

    return line


@functools.cache
def make(has_rows: bool, vectors: int, apart: int = 1):
    """Make the microkernel for kernels of several rows in a plane, or of one; `apart` is the stride, 1 or 2.

    `entries` is the address of `count` records. Their weights lie `shift` bytes behind the addresses there: those of
    the real, or of the imaginary parts. Pitches are in elements; `partial_pitch` is 0 if sums begin with zero.
    `columns` is at least the width of `vectors` vectors.
    """
    line, sweep_rows = _make_line(apart), _adjacent if apart == 1 else _alternate

    def plane_tiles(entries, count, shift, partial, partial_pitch, out, out_pitch, lines, columns, step):
        """Sum in tiles of `ROWS` rows."""
        r = 0
        while r < lines:
            r = larger(0, smaller(r, lines - ROWS))
            c = 0
            while c < columns:
                tile = zeros(out, ROWS, vectors)
                c = smaller(c, columns - width(tile))
                if lines < ROWS:
                    for k in range(lines):
                        row = zero_row(tile)
                        row = line(row, out, entries, count, shift, partial, partial_pitch, k, c, step)
                        store_rows(row, 1, advance(out, k * out_pitch + c), out_pitch)
                else:
                    if partial_pitch != 0:
                        tile = load_rows(tile, advance(partial, r * partial_pitch + c), partial_pitch)
                    for e in range(count):
                        entry = _entry_at(entries, e)
                        corner = advance(pointer_to(out, entry.x), r * entry.pitch + c * apart)
                        weights = pointer_to(out, entry.weights + shift)
                        tile = sweep_rows(tile, corner, entry.pitch, step, weights, entry.rows, entry.taps)
                    store_rows(tile, ROWS, advance(out, r * out_pitch + c), out_pitch)
                c += width(tile)
            r += ROWS

    def plane_lines(entries, count, shift, partial, partial_pitch, out, out_pitch, lines, columns, step):
        """Sum line by line."""
        for r in range(lines):
            c = 0
            while c < columns:
                tile = zeros(out, 1, vectors)
                c = smaller(c, columns - width(tile))
                tile = line(tile, out, entries, count, shift, partial, partial_pitch, r, c, step)
                store_rows(tile, 1, advance(out, r * out_pitch + c), out_pitch)
                c += width(tile)

    microkernel = plane_tiles if has_rows else plane_lines
    microkernel.__name__ += f"_{vectors}" + ("_alternate" if apart == 2 else "")
    return microkernel
