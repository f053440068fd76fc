"""Sums of the sizes of the samples of volumes over cells, with the extremes of samples and their squares.

Cells are boxes that cut each axis at the same places, but for axes of the array before the last three, which are cut at
each sample. Lines of adjacent samples are added up first, and their columns last.
"""

from __future__ import annotations

import numpy as np
from numba import types

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd.complex_vectors import (
    absolute,
    conjugate,
    lanes,
    larger,
    largest,
    load,
    smaller,
    smallest,
    store,
    sums,
    zero,
)
from fastconv._simd.float_environment import restore_float_environment, set_default_float_environment
from fastconv._simd.memory import advance, doubles_at, floats_at, integers_at

# Units are cells along planes, for each volume. Ends are addresses of tables: of planes, rows and columns behind cells.
CELL_JOB = Record(
    "CellJob",
    {
        "planes": np.intp,  # address of the table of offsets of all planes, in bytes, volume by volume
        "unit_ends": np.intp,  # of the planes of each unit in that table, the first of which is 0
        "row_bytes": np.intp,
        "row_cells": np.intp,
        "row_ends": np.intp,
        "columns": np.intp,
        "column_cells": np.intp,
        "column_ends": np.intp,
        "wide": np.intp,  # columns in whole pairs of vectors
    },
)
_job_at = reader(CELL_JOB)

# What is found of the samples of a unit beside the sums of cells. Zero counts as a sample.
LOWEST, HIGHEST, SQUARES = range(3)
FOUND = 3


def signature():
    """Signature of the routines."""
    n = types.intp
    return types.void(n, n, n, n, n, n, n)


def _make(name: str, numbers_at):
    def add_up(job, x, first, stop, cells, found, scratch):
        """Add up units from `first` to `stop` of the samples at `x`; all are addresses, but for these two.

        `cells` has a row of doubles for each unit and row cell, `found` a row for each unit, and `scratch` room for a
        line of samples for each row cell, and one more.
        """
        floats = set_default_float_environment()
        job = _job_at(job, 0)
        wide, row_cells = job.wide, job.row_cells
        step = 2 * lanes(numbers_at(scratch, 0))
        whole = job.columns // step * step
        lines = numbers_at(scratch, 0)
        end = advance(lines, row_cells * wide)  # of a row, with zeros behind
        for unit in range(first, stop):
            for c in range(0, (row_cells + 1) * wide, step):
                store(advance(lines, c), zero(lines))
            lowest, highest, squares = zero(lines), zero(lines), zero(lines)
            total = 0.0
            for plane in range(integers_at(job.unit_ends, unit)[0], integers_at(job.unit_ends, unit + 1)[0]):
                row, r = x + integers_at(job.planes, plane)[0], 0
                for cell in range(row_cells):
                    line = advance(lines, cell * wide)
                    while r < integers_at(job.row_ends, cell)[0]:
                        samples = numbers_at(row, 0)
                        for c in range(0, whole, step):
                            values = load(advance(samples, c))
                            store(advance(line, c), load(advance(line, c)) + absolute(values))
                            lowest, highest = smaller(lowest, values), larger(highest, values)
                            squares = squares + values * conjugate(values)
                        if whole < job.columns:
                            for c in range(whole, job.columns):
                                end[c - whole] = samples[c]
                            values = load(end)
                            store(advance(line, whole), load(advance(line, whole)) + absolute(values))
                            lowest, highest = smaller(lowest, values), larger(highest, values)
                            squares = squares + values * conjugate(values)
                        row, r = row + job.row_bytes, r + 1
                    total += sums(squares)[0]  # the real parts: those of all lanes
                    squares = zero(lines)
            for cell in range(row_cells):
                line, c = advance(lines, cell * wide), 0
                sizes = doubles_at(cells, (unit * row_cells + cell) * job.column_cells)
                for k in range(job.column_cells):
                    size = 0.0
                    while c < integers_at(job.column_ends, k)[0]:
                        size += types.float64(line[c])
                        c += 1
                    sizes[k] = size
            facts = doubles_at(found, FOUND * unit)
            low, high = smallest(lowest), largest(highest)
            facts[LOWEST], facts[HIGHEST], facts[SQUARES] = min(low[0], low[1]), max(high[0], high[1]), total
        restore_float_environment(floats)

    add_up.__name__ = name
    return add_up


# By bytes of a sample.
ADD_UP = {4: _make("add_up_floats", floats_at), 8: _make("add_up_doubles", doubles_at)}
