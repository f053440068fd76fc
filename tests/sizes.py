"""Sizes at which the compiled engines change course, on the processor compiled for."""

import numpy as np

from fastconv._engines import layout, overlap_save_tiling
from fastconv._microkernels import direct_tile
from fastconv._simd import target


def _sums(dtype):
    """The type that results of `dtype` are summed in, and how many of it each result takes."""
    dtype = np.dtype("f4" if np.dtype(dtype).char == "e" else dtype)
    return layout.COMPUTE[dtype.kind, dtype.itemsize], 2 if dtype.kind == "c" else 1


def lanes(dtype):
    """Results of a type in one register."""
    compute, parts = _sums(dtype)
    return 8 * target.processor().vector_bytes // compute.bitwidth // parts


def about(*sizes):
    """These sizes and their neighbours, in order."""
    return sorted({size + k for size in sizes for k in (-1, 0, 1) if size + k > 0})


def widths(dtype):
    """Widths about those of registers, and of one tile and two, narrow and wide."""
    n = lanes(dtype)
    return about(
        1,
        n,
        direct_tile.VECTORS * n,
        2 * direct_tile.VECTORS * n,
        direct_tile.ROW_VECTORS * n,
        2 * direct_tile.ROW_VECTORS * n,
    )


def taps(dtype, channels=1):
    """Taps of a row about those of groups: none, pairs, one group, a group with a pair and a rest, and two groups."""
    apart, group = max(1, lanes(dtype) // channels), direct_tile.GROUP * max(1, lanes(dtype) // channels)
    return about(1, apart, 2 * apart, group, group + 2 * apart + apart // 2, 2 * group)


def least_tile(dtype):
    """Points along an axis of the smallest tile of overlap-save; the next ones have two and three times as many.

    16, or 32 where a register has 16 lanes.
    """
    return int(overlap_save_tiling.transform_sizes(_sums(dtype)[0])[0])


def enlarged(shape, dtype):
    """A shape made for tiles of 16, 32 and 48 points, as much larger as the tiles are: a line is a four-step tile."""
    factor = least_tile(dtype) // 16
    return tuple(extent * factor ** (2 if len(shape) == 1 else 1) for extent in shape)
