"""Sizes around which the compiled engines take different code paths, on the target processor."""

import numpy as np

from fastconv._engines import layout
from fastconv._engines.spectra import overlap_save_tiling
from fastconv._microkernels.blocks import direct_tile
from fastconv._simd import target


def _sums(dtype):
    """Type in which results of `dtype` are summed, and number of its elements per result."""
    dtype = np.dtype("f4" if np.dtype(dtype).char == "e" else dtype)
    return layout.COMPUTE[dtype.kind, dtype.itemsize], 2 if dtype.kind == "c" else 1


def lanes(dtype):
    """Number of results of a type in one register."""
    compute, parts = _sums(dtype)
    return 8 * target.processor().vector_bytes // compute.bitwidth // parts


def about(*sizes):
    """These sizes and their neighbours, sorted."""
    return sorted({size + k for size in sizes for k in (-1, 0, 1) if size + k > 0})


def widths(dtype):
    """Widths around those of a register, of one and two tiles, narrow and wide, and of tiles from both ends."""
    n = lanes(dtype)
    return about(
        1,
        n,
        direct_tile.VECTORS * n,
        2 * direct_tile.VECTORS * n,
        direct_tile.ROW_VECTORS * n,
        2 * direct_tile.ROW_VECTORS * n,
        direct_tile.END_VECTORS * n,
        direct_tile.SHORT_VECTORS * n,
    )


def taps(dtype, channels=1):
    """Numbers of taps around those of no group, pairs, one group, a group with a pair and a remainder, two groups."""
    apart, group = max(1, lanes(dtype) // channels), direct_tile.GROUP * max(1, lanes(dtype) // channels)
    return about(1, apart, 2 * apart, group, group + 2 * apart + apart // 2, 2 * group)


def least_tile(dtype):
    """Points along an axis of the smallest overlap-save tile: 16, or 32 if a register has 16 lanes.

    The next sizes are two and three times as large.
    """
    return int(overlap_save_tiling.transform_sizes(_sums(dtype)[0])[0])


def enlarged(shape, dtype):
    """Scale a shape for tiles of 16, 32 and 48 points to the tiles of this processor; a line is a four-step tile."""
    factor = least_tile(dtype) // 16
    return tuple(extent * factor ** (2 if len(shape) == 1 else 1) for extent in shape)
