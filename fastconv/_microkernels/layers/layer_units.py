"""Units of a layer: blocks of output rows of one image, and in some engines of a part of the output channels."""

from __future__ import annotations

import numpy as np

from fastconv._simd import compilation
from fastconv._simd.integers import larger, smaller

# Fields of a job record about kernel, input rows and units.
UNITS = {
    "kernel_rows": np.intp,
    "kernel_columns": np.intp,
    "row_stride": np.intp,
    "column_stride": np.intp,
    "row_dilation": np.intp,
    "column_dilation": np.intp,
    "height": np.intp,  # input rows: of the image, or as the boundary extends it,
    "top": np.intp,  # and the one under the first row of the kernel at output row 0
    "left": np.intp,  # the input column there, if the input is read in place
    "out_height": np.intp,
    "block_rows": np.intp,  # output rows of a unit at most, or of a block of a gradient
    "row_blocks": np.intp,
}


@compilation.paste
def rows_of(job, unit):
    """The image of a block of rows; its first output row, and their number; and the input rows under them.

    These are the one under the first row of the kernel, and those of the image: the first, and the one after the last.
    Blocks differ by one row at most: with a small last one, one of two threads would wait for the other.
    """
    image, block = unit // job.row_blocks, unit % job.row_blocks
    first = job.out_height * block // job.row_blocks
    rows = job.out_height * (block + 1) // job.row_blocks - first
    top = first * job.row_stride + job.top
    stop = top + (rows - 1) * job.row_stride + (job.kernel_rows - 1) * job.row_dilation + 1
    return image, first, rows, top, larger(0, top), smaller(job.height, stop)
