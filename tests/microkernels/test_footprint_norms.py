"""The sums of squares under the kernel, compared with those of NumPy."""

import ctypes

import numpy as np
import pytest
from numba import types

from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.spectra import footprint_norms
from fastconv._microkernels.spectra.footprint_norms import ENOUGH, NOTHING, RECTANGLE, SPARE_ROWS, TOO_LITTLE
from fastconv._simd import complex_vectors

POINTER, NUMBER = ctypes.c_void_p, ctypes.c_ssize_t


def routine(function, signature, *arguments):
    """A compiled routine as a function of addresses and numbers."""
    return ctypes.CFUNCTYPE(None, *arguments)(compiled_routine(function, signature))


def squares_of(samples, compute, scales):
    """Rows of squares, each as long as whole registers."""
    square = routine(
        footprint_norms.square,
        footprint_norms.square_signature(compute),
        *[POINTER, NUMBER, NUMBER, NUMBER, POINTER, NUMBER, POINTER],
    )
    unit = 2 * complex_vectors.lanes_of(compute)
    found = np.full((len(samples), -(-samples.shape[1] // unit) * unit), np.nan, samples.dtype)
    for row, target in zip(samples, found):
        square(row.ctypes.data, len(row), len(target), 1, scales.ctypes.data, 0, target.ctypes.data)
    return found


@pytest.mark.parametrize("compute", [types.float32, types.float64])
def test_least_and_largest_sums_of_groups_are_those_of_all_windows(compute):
    rng = np.random.default_rng(1)
    dtype, measure = (
        np.dtype(compute.name),
        routine(footprint_norms.measure, footprint_norms.measure_signature(compute), POINTER, POINTER),
    )
    for _ in range(60):
        outputs, taps = rng.integers(1, 60, 2), rng.integers(1, (20, 70))
        cell, scales = rng.integers(1, (9, 33)), np.array([0.5, 0.25])
        phase = rng.integers(0, cell)
        groups = -(-(outputs + phase) // cell)
        x = rng.standard_normal(outputs + taps - 1) * 10.0 ** rng.integers(-6, 6, outputs + taps - 1)
        x = (x * (rng.random(x.shape) < rng.choice([0.01, 0.5, 1]))).astype(dtype)
        squares, limit = squares_of(x, compute, scales), 10.0 ** rng.uniform(-6, 4)
        job, pitch = np.zeros((), RECTANGLE.dtype), squares.shape[1]
        for k, side in enumerate(("rows", "columns")):
            for name, values in (("outputs", outputs), ("taps", taps), ("groups", groups), ("cell", cell)):
                job[side][name] = values[k]
            job[side]["phase"] = phase[k]
        spare = np.full((SPARE_ROWS + cell[0]) * pitch, np.nan, dtype)
        is_open, limits = np.ones(groups, np.uint8), np.array([limit])
        least, most, zeros = np.zeros((3, *groups))
        kinds = np.zeros(outputs.prod() + 8, np.uint8)
        buffers = {"spare": spare, "open": is_open, "limits": limits, "kinds": kinds}
        for name, buffer in {**buffers, "least": least, "most": most, "zeros": zeros}.items():
            job[name] = buffer.ctypes.data
        job["pitch"] = pitch
        measure(squares.ctypes.data, job.ctypes.data)

        windows = np.lib.stride_tricks.sliding_window_view(np.square(x.astype("f8") / 8), tuple(taps))
        sums, empty = windows.sum((2, 3)), ~(windows != 0).any((2, 3))
        for i, j in np.ndindex(*groups):
            where = tuple(slice(max(0, n * c - p), (n + 1) * c - p) for n, c, p in zip((i, j), cell, phase))
            inside, nothing = sums[where], empty[where]
            if not is_open[i, j]:
                assert inside.min() >= limit * 0.999
                continue
            there = inside[~nothing]
            np.testing.assert_allclose(least[i, j], there.min() if there.size else np.inf, 1e-4, 1e-20)
            np.testing.assert_allclose(most[i, j], inside.max(), 1e-4, 1e-20)
            assert zeros[i, j] == nothing.sum()
            kind = np.where(nothing, NOTHING, np.where(inside >= limit, ENOUGH, TOO_LITTLE))
            np.testing.assert_array_equal(kinds[: outputs.prod()].reshape(outputs)[where], kind)
