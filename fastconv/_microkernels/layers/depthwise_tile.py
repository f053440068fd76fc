"""The microkernel of depthwise layers of stride 1, channels first: four rows by vectors of columns of one plane."""

from __future__ import annotations

import functools

from numba import types

from fastconv._microkernels.layers.layer_packing import pad_planes
from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller
from fastconv._simd.layer_tiles import broadcast_all, rectified, store_lines
from fastconv._simd.memory import advance
from fastconv._simd.register_tiles import sweep, sweep_some, width, zeros

# Rows of a tile; its phases are written out for four.
ROWS = 4

_pad_planes = compilation.outline(pad_planes)


def signature(dtype):
    """Signature of the microkernel of depthwise layers for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, n, pointer, *[n] * 5, pointer, pointer, pointer, *[n] * 11)


@functools.cache
def make(vectors: int):
    """Make the microkernel for tiles of so many vectors."""

    def depthwise_tile(
        x, x_row, x_plane, packed, packed_row, left, inside, right, packed_rows, weights, bias, out, out_row, out_plane,
        planes, rows, columns, top, height, kernel_rows, kernel_columns, step, rectify,
    ):  # fmt: skip
        """Fill `rows` rows of `columns` of some planes; `x` is the input row number `top`, or the first inside.

        If there are any `packed_rows`, so many rows of a plane, `inside` columns of each, are copied to `packed` first,
        with zeros beside them. Taps of a row are `step` apart. The last vectors of a row are read beyond its end.
        """
        base = larger(0, top)
        kernel = kernel_rows * kernel_columns
        for p in range(planes):
            source, pitch, weight = advance(x, p * x_plane), x_row, advance(weights, p * kernel)
            if packed_rows > 0:
                _pad_planes(source, x_row, 0, packed, packed_row, 0, left, inside, right, packed_rows, 1)
                source, pitch = packed, packed_row
            start = broadcast_all(zeros(x, ROWS, vectors), advance(bias, p))
            for r in range(0, rows, ROWS):
                count, y = smaller(ROWS, rows - r), top + r
                line = advance(source, (y - base) * pitch)
                is_inside = count == ROWS and y >= 0 and y + ROWS - 1 + kernel_rows <= height
                is_inside = is_inside and kernel_rows >= ROWS - 1
                c = 0
                while c < columns:
                    corner, tile = advance(line, c), start
                    if is_inside:
                        tile = sweep(tile, 0, 1, 0, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        tile = sweep(tile, 0, 2, 1, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        tile = sweep(tile, 0, 3, 2, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        for i in range(3, kernel_rows):
                            tile = sweep(tile, 0, 4, i, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        last = kernel_rows
                        tile = sweep(tile, 1, 4, last, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        tile = sweep(tile, 2, 4, last + 1, corner, pitch, step, weight, kernel_columns, kernel_columns)
                        tile = sweep(tile, 3, 4, last + 2, corner, pitch, step, weight, kernel_columns, kernel_columns)
                    else:
                        for i in range(larger(0, -y), smaller(count + kernel_rows - 1, height - y)):
                            first, stop = larger(0, i - kernel_rows + 1), smaller(count, i + 1)
                            tile = sweep_some(
                                tile, first, stop, i, corner, pitch, step, weight, kernel_columns, kernel_columns
                            )
                    if rectify:
                        tile = rectified(tile)
                    target = advance(out, p * out_plane + r * out_row + c)
                    store_lines(tile, target, out_row, count, columns - c)
                    c += width(tile)

    depthwise_tile.__name__ = f"depthwise_tile_{vectors}"
    return depthwise_tile
