"""The job of a loop over tiles of overlap-save, and what a thread knows of the tiles that it works at.

A tile is a plane of complex numbers in scratch memory that stays in cache: in each row, a register of real parts, one
of imaginary parts, and so on. It holds two packed real tiles, one as the real and one as the imaginary part: a real
kernel keeps them apart.

There are four kinds of tile, distinguished by the axes that are transformed:

- both: an image by a kernel with rows and columns;
- both, with a four-step transform: a long stretch of one line, its samples row after row. The transforms of columns and
  of rows are, with twiddle factors in between, one long transform;
- the rows alone, or the columns alone: many lines by a kernel of one row or column, which must not mix them, as the
  rounding errors of one would reach into the others.

Columns are transformed in place, a vector of them at a time. Rows are transposed into a small buffer, as many as there
are lanes, and go through both transforms and the product there.

Tiles overlap in their input (overlap-save): of ``size`` results along an axis the first ``taps - 1`` have wrapped
around, and are skipped.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.block_cutting import RUN
from fastconv._microkernels.job_records import Record, reader
from fastconv._microkernels.progress_counters import COUNTERS
from fastconv._microkernels.spectra.footprint_windows import CHECK, WINDOWS
from fastconv._microkernels.spectra.sample_sums import SAMPLE_SUMS

# One axis of the tiles, down or across.
AXIS = Record(
    "TileAxis",
    {
        "transformed": np.bool_,  # whether there are taps along it
        "size": np.intp,  # of a tile, in samples
        "step": np.intp,  # from one tile's outputs to those of the next
        "tiles": np.intp,
        "outputs": np.intp,
        "first_sample": np.intp,  # of the first tile
        "extra_samples": np.intp,  # samples that a tile needs beyond the number of its outputs
        "skip": np.intp,  # results in front of a tile's first output
        "taps": np.intp,
        "lead": np.intp,  # number of tiles at the start that may reach outside,
        "tail": np.intp,  # and the first one at the end that may
        "edges": np.intp,  # addresses: an `EDGE` for each of those tiles,
        "runs": np.intp,  # their runs,
        "passes": np.intp,  # and the passes of the transform,
        "pass_count": np.intp,  # of which there are so many
    },
)
# A tile that may reach outside: its runs, and whether some of its samples are zeros that no run holds.
EDGE = Record("Edge", {"first_run": np.intp, "stop_run": np.intp, "gaps": np.bool_})
# A pass: addresses of the routines, radix, span, address of the twiddle factors.
PASS = Record("Pass", dict.fromkeys(("forward", "backward", "radix", "span", "twiddles"), np.intp))

# Everything that `run` needs to know but the arrays and the spectrum.
TILE_JOB = Record(
    "TileJob",
    {
        # Addresses of compiled routines.
        "pack": np.intp,  # from the input to staging
        "fill": np.intp,  # from the fill value to staging
        "store": np.intp,  # from staging to the output,
        "rescale": np.intp,  # with these parameters, 0 for none
        "to_plane": np.intp,  # from staging to the plane
        "from_plane": np.intp,
        "bound_lines": np.intp,
        "compare": np.intp,  # footprints with all that is transformed at once
        "note_signs": np.intp,  # of lines that do not mix
        "clamp": np.intp,
        "clamp_columns": np.intp,
        "transpose_rows": np.intp,
        "transpose_back": np.intp,
        "last_column_pass": np.intp,  # forward
        "last_row_pass": np.intp,
        "product": np.intp,  # with the spectrum, between the last pass forward and the first pass backward
        "first_column_pass_back": np.intp,
        "item": np.intp,  # bytes of a number of the compute type,
        "x_item": np.intp,  # and of a number, or its part, in the input,
        "out_item": np.intp,  # and in the output
        "packed_tiles": np.intp,  # real tiles in a plane: 2, or 1 if the result is complex
        "parts": np.intp,  # elements of a number in staging: 2 if the result is complex,
        "part_step": np.intp,  # bytes from one to the next, or from a sample to its weight,
        "x_parts": np.intp,  # and elements in the input
        "four_step": np.bool_,  # whether columns and rows are one long transform
        "down_first": np.bool_,  # whether tiles are counted down, not across
        "rows": np.intp,  # of the plane
        "columns": np.intp,
        "row_axis": np.intp,  # axes of input and output, -1 for none
        "column_axis": np.intp,
        "batch_rank": np.intp,  # number of batch axes,
        "batch_axes": np.intp,  # and the address of a table of them
        "units": np.intp,  # planes to transform, in all,
        "units_of_plane": np.intp,  # and for each plane of the input
        "group": np.intp,  # successive tiles that may share a plane: all of a batch item, or those along one line
        "units_of_group": np.intp,
        "lanes": np.intp,
        "pitch": np.intp,  # of the plane, in elements
        "staging_rows": np.intp,  # rows of the plane in a staging buffer
        # Offsets in scratch memory, in bytes; those of cells, sums and signs are from the plane.
        "plane_at": np.intp,
        "transposed_at": np.intp,
        "staging_at": np.intp,
        "second_staging_at": np.intp,
        "windows_at": np.intp,
        # Bounds of the norm of all samples, or of each row or each column where these do not mix; then again, but 0 for
        # the lines whose footprints are not compared.
        "bounds_at": np.intp,
        "limits_at": np.intp,  # of results: room for three numbers for each column where these do not mix
        "cells_at": np.intp,  # of each part
        "second_cells_at": np.intp,
        "sums_at": np.intp,  # of each share of a shared plane
        "signs_at": np.intp,  # of the signs of results, of each line: bytes of the bits of `sample_sums`
        # Cells of samples: see `SAMPLE_SUMS`.
        "cells_pitch": np.intp,
        "cell_rows": np.intp,
        "cell_vectors": np.intp,
        "lanes_of_cell": np.intp,
        "cell_columns": np.intp,  # samples across a cell
        "marks_down": np.intp,  # groups of outputs of a tile at most
        "marks_across": np.intp,
        "judged_bytes": np.intp,  # of what is judged of a unit
        "check": CHECK,
        "shares": np.intp,  # 1, or the number of parts of a plane that threads work at together
        "share_rows": np.intp,
        "share_columns": np.intp,
        "four_step_twiddles": np.intp,  # address
        "fill_value": 16,  # real and imaginary part, 8 bytes apart
        "down": AXIS,
        "across": AXIS,
    },
)

# What follows the counters of progress: if threads share a plane, its address and its unit; the steps to take; the
# address of the marks of all tiles; that of a list of the units to compute, 0 for all; their number; and the address of
# what is judged of each unit, in float64: the bound of its norm, or that of each line.
SHARED_PLANE, SHARED_UNIT, STEPS, MARKS, LISTED, COUNT, JUDGED = range(COUNTERS, COUNTERS + 7)

# Steps in their order, each a bit. If threads share a plane, a step begins when all have finished the one before.
ALL_STEPS = 1, 2, 4, 8, 16

# Extent of a tile along an axis. Its runs are in a table, or it has one of its own.
EXTENT = Record(
    "Extent",
    {
        "start": np.intp,  # first output,
        "length": np.intp,  # and their number
        "needed": np.intp,  # samples
        "runs": np.intp,  # address
        "run_count": np.intp,
        "gaps": np.bool_,
        "own_run": RUN,
    },
)
# Start of scratch memory: what is known of a unit.
HEAD = Record(
    "Head",
    {
        **dict.fromkeys(("down", "across", "second_down", "second_across"), EXTENT),  # of its two tiles
        "second": np.bool_,  # whether there are two
        "used": np.intp,  # columns of the plane that are not zero
        "first_row": np.intp,  # rows and columns of the plane that hold results
        "stop_row": np.intp,
        "first_column": np.intp,
        "stop_column": np.intp,
        "sums": SAMPLE_SUMS,
        "least": np.float64,  # size of a result
        "windows": WINDOWS,
        "not_finite": np.intp,
    },
)
job_at, pass_at, edge_at, head_at = map(reader, (TILE_JOB, PASS, EDGE, HEAD))
