"""Store sums combined with what the output holds: added to it, squared, and the root of a sum of squares.

Each operation is one of the output's type, as NumPy's on whole arrays.
"""

from __future__ import annotations

from fastconv._microkernels.transfers import signature
from fastconv._simd.lane_copies import ADD, ADD_SQUARE, ROOT, SQUARE, combine_lanes, common_lanes
from fastconv._simd.memory import advance, advance_bytes, itemsize

__all__ = ["COMBINE", "signature"]


def _make(name: str, operation: int):
    def combine(src, src_row, src_col, src_chan, dst, dst_row, dst_col, dst_chan, rows, columns, channels, rescale):
        """Combine a rectangle: the arguments are those of `transfer`."""
        if src_col == channels * src_chan and dst_col == channels * dst_chan:
            columns, channels, src_col, dst_col = columns * channels, 1, src_chan, dst_chan
        lanes = common_lanes(src, dst)
        dense = src_col == itemsize(src) and dst_col == itemsize(dst)
        for k in range(channels):
            for r in range(rows):
                line = advance_bytes(src, k * src_chan + r * src_row)
                out = advance_bytes(dst, k * dst_chan + r * dst_row)
                whole = columns - columns % lanes if dense else 0
                for c in range(0, whole, lanes):
                    combine_lanes(advance(line, c), advance(out, c), operation, False)
                for c in range(whole, columns):
                    combine_lanes(advance_bytes(line, c * src_col), advance_bytes(out, c * dst_col), operation, True)

    combine.__name__ = name
    return combine


COMBINE = {
    "add": _make("add", ADD),
    "square": _make("square", SQUARE),
    "add_square": _make("add_square", ADD_SQUARE),
    "root": _make("root_of_squares", ROOT),
}
