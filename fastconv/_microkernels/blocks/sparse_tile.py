"""The microkernel for kernels most of whose taps are zero: a list of the others, and a load for each product.

Sums are those of `direct_tile`, in its order, but for the products with zeros.
"""

from __future__ import annotations

from fastconv._microkernels.blocks.direct_tile import SHORT_VECTORS, VECTORS
from fastconv._simd import compilation
from fastconv._simd.memory import address_of, advance, integers_at, load, store
from fastconv._simd.register_tiles import store_rows, sweep, width, zeros


def listed(taps: int, item: int) -> int:
    """Elements of `item` bytes that the list of so many taps takes, behind the weights."""
    return taps * (-(-8 // item) + 1)


def _make_row(vectors: int):
    @compilation.inline
    def convolve_row(x, out, columns, distances, values, count):
        """A row of results, so many vectors at a time."""
        c = 0
        while c < columns:
            tile = zeros(x, 1, vectors)
            # The last tile slides back: it computes again, and never reads outside.
            c = min(c, columns - width(tile))
            for k in range(count):
                tile = sweep(tile, 0, 1, 0, advance(x, c + distances[k]), 0, 0, advance(values, k), 0, 1)
            store_rows(tile, 1, advance(out, c), 0)
            c += width(tile)

    return convolve_row


_convolve_long_row, _convolve_row = _make_row(SHORT_VECTORS), _make_row(VECTORS)


def convolve_sparse(x, x_pitch, weights, weights_pitch, out, out_pitch, height, columns, rows, taps, step):
    """Correlate with all taps of a kernel that are not zero; `weights` has room for their list."""
    size = rows * weights_pitch
    values = advance(weights, size)
    distances, count = integers_at(address_of(advance(values, size)), 0), 0
    for i in range(rows):
        for j in range(taps):
            weight = load(advance(weights, i * weights_pitch + j))
            if weight != 0:
                distances[count] = i * x_pitch + j * step
                store(advance(values, count), weight)
                count += 1
    is_long = columns >= width(zeros(x, 1, SHORT_VECTORS))
    for r in range(height):
        samples, place = advance(x, r * x_pitch), advance(out, r * out_pitch)
        if is_long:
            _convolve_long_row(samples, place, columns, distances, values, count)
        else:
            _convolve_row(samples, place, columns, distances, values, count)
