"""The sums that are taken while samples are moved into the plane of a tile."""

import ctypes

import numpy as np
import pytest
from numba import types

from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.spectra import fft_passes
from fastconv._microkernels.spectra.sample_sums import ALL, FOUR, SAMPLE_SUMS, SINGLE
from fastconv._simd import complex_vectors

KINDS = {"f4": types.float32, "f8": types.float64}


def move(routine, dtype, first, second, cell_rows, cell_vectors, lanes_of_cell):
    """Have rows moved; return the record of sums, and the cells of both parts as the sums of rectangles."""
    kind = KINDS[dtype]
    lanes = complex_vectors.lanes_of(kind)
    rows, columns = second.shape
    vectors = columns // lanes // cell_vectors
    width = vectors * {SINGLE: lanes, FOUR: max(1, lanes // 4), ALL: 1}[lanes_of_cell]
    cells = np.zeros((2, rows // cell_rows, width), dtype)
    plane = np.zeros((rows, 2 * columns + 16), dtype)
    totals = np.zeros((), SAMPLE_SUMS.dtype)
    totals["cells"], totals["second_cells"] = (part.ctypes.data for part in cells)
    totals["cells_pitch"], totals["cell_rows"], totals["cell_vectors"] = width, cell_rows, cell_vectors
    totals["lanes_of_cell"] = lanes_of_cell
    address = compiled_routine(routine, fft_passes.staging_signature(kind))
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 8)(address)
    wide = columns
    call(
        first.ctypes.data, second.ctypes.data, wide,
        plane.ctypes.data, plane.shape[1], rows, columns, totals.ctypes.data,
    )  # fmt: skip
    return totals, cells, plane


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("cell", [(8, 1, FOUR), (8, 1, SINGLE), (4, 1, FOUR), (1, 1, ALL), (1, 4, ALL), (2, 1, ALL)])
@pytest.mark.parametrize("routine", [fft_passes.interleave_pair, fft_passes.deinterleave_complex])
def test_cells_totals_and_the_largest_are_those_of_the_samples(routine, cell, dtype):
    rng = np.random.default_rng(1)
    lanes = complex_vectors.lanes_of(KINDS[dtype])
    parts = rng.standard_normal((2, 16, 8 * lanes)).astype(dtype)
    parts[0, 3, 7], parts[1, 9, -1] = -50, 40
    first, second = parts
    if routine is fft_passes.deinterleave_complex:
        first = np.stack([parts[0], parts[1]], -1)
    totals, cells, plane = move(routine, dtype, first, second, *cell)
    whole = plane[:, : 16 * lanes].reshape(16, 8, 2, lanes)
    np.testing.assert_array_equal(whole.transpose(2, 0, 1, 3).reshape(2, 16, -1), parts)
    assert (totals["lowest"], totals["second_highest"]) == (-50, 40)
    extremes = totals["highest"], totals["second_lowest"]
    np.testing.assert_array_equal(extremes, (parts[0].max(), parts[1].min()))
    np.testing.assert_allclose([totals["total"], totals["second_total"]], np.abs(parts.astype("f8")).sum((1, 2)), 1e-5)
    width = parts.shape[2] // cells.shape[2]
    exact = np.abs(parts.astype("f8")).reshape(2, 16 // cell[0], cell[0], -1, width).sum((2, 4))
    np.testing.assert_allclose(cells, exact, 1e-5)


def test_a_nan_is_in_its_cell_and_in_the_total():
    lanes = complex_vectors.lanes_of(KINDS["f4"])
    first, second = np.ones((8, 2 * lanes), "f4"), np.zeros((8, 2 * lanes), "f4")
    first[2, 3] = np.nan
    totals, cells, _ = move(fft_passes.interleave_pair, "f4", first, second, 8, 1, FOUR)
    assert np.isnan(totals["total"])
    assert (totals["highest"], totals["lowest"]) == (1, 0)
    assert np.isnan(cells[0]).sum() == 1
    assert totals["second_total"] == totals["second_highest"] == totals["second_lowest"] == 0
    assert not cells[1].any()
