"""Sums of the sizes of a tile's samples, taken while they are moved into its plane.

They bound what a footprint holds from below, and what the whole tile holds from above: a footprint of many taps
contains whole *cells*, rectangles of a fixed size. ``sum |x|`` over a cell is one number in a table.
"""

from __future__ import annotations

import numpy as np

from fastconv._microkernels.job_records import Record, reader
from fastconv._simd import compilation
from fastconv._simd.complex_vectors import (
    lanes,
    store_planes,
    store_sums,
    store_sums_of_four,
)
from fastconv._simd.memory import advance, pointer_to

# How the lanes of a register become cells: each one, each four, or all of them.
SINGLE, FOUR, ALL = range(3)

# Signs of samples, or of results, as bits: none is set if all are zero.
POSITIVE, NEGATIVE = 1, 2
BOTH = POSITIVE | NEGATIVE

# Samples are those of two packed tiles, or the real and the imaginary parts of one.
SAMPLE_SUMS = Record(
    "SampleSums",
    {
        "cells": np.intp,  # address of the first cell of the rows to be moved,
        "second_cells": np.intp,
        "cells_pitch": np.intp,  # elements from one row of cells to the next
        "cell_rows": np.intp,  # samples in a cell down,
        "cell_vectors": np.intp,  # registers across: one of the two numbers is 1,
        "lanes_of_cell": np.intp,  # and how their lanes are added
        "total": np.float64,  # sum |x| of all rows moved so far,
        "second_total": np.float64,
        "highest": np.float64,  # the largest x, and the smallest; 0 is always among them
        "second_highest": np.float64,
        "lowest": np.float64,
        "second_lowest": np.float64,
    },
)
sample_sums_at = reader(SAMPLE_SUMS)


@compilation.inline
def begin_sums(totals):
    """Begin a tile."""
    totals.total, totals.highest, totals.lowest = 0.0, 0.0, 0.0
    totals.second_total, totals.second_highest, totals.second_lowest = 0.0, 0.0, 0.0


@compilation.inline
def largest_of(totals):
    """The largest |x| of each part."""
    return max(totals.highest, -totals.lowest), max(totals.second_highest, -totals.second_lowest)


@compilation.inline
def signs_of(totals):
    """The signs of the samples of each part."""
    first = (POSITIVE if totals.highest > 0 else 0) | (NEGATIVE if totals.lowest < 0 else 0)
    second = (POSITIVE if totals.second_highest > 0 else 0) | (NEGATIVE if totals.second_lowest < 0 else 0)
    return first, second


@compilation.inline
def add_sums(totals, other):
    """Add the sums of other rows."""
    totals.total, totals.second_total = totals.total + other.total, totals.second_total + other.second_total
    totals.highest, totals.lowest = max(totals.highest, other.highest), min(totals.lowest, other.lowest)
    totals.second_highest = max(totals.second_highest, other.second_highest)
    totals.second_lowest = min(totals.second_lowest, other.second_lowest)


@compilation.inline
def keep_sums(place, totals):
    """Copy the sums to another record."""
    begin_sums(place)
    add_sums(place, totals)


@compilation.inline
def store_cell(totals, plane, row, vector, cell):
    """Store the sums of `cell`, a register of each part that ends a cell, which begins at a row and a register."""
    at = row // totals.cell_rows * totals.cells_pitch
    if totals.lanes_of_cell == FOUR:
        at += vector * max(1, lanes(plane) // 4)
    else:
        at += vector * lanes(plane) if totals.lanes_of_cell == SINGLE else vector // totals.cell_vectors
    cells = advance(pointer_to(plane, totals.cells), at)
    second_cells = advance(pointer_to(plane, totals.second_cells), at)
    if totals.lanes_of_cell == SINGLE:
        store_planes(cells, second_cells, cell)
    elif totals.lanes_of_cell == FOUR:
        store_sums_of_four(cells, second_cells, cell)
    else:
        store_sums(cells, second_cells, cell)
