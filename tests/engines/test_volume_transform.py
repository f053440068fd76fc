"""Transforms of volumes, and sums over boxes."""

import numpy as np
import pytest

import fastconv
from fastconv._engines.spectra.box_sums import BoxAxis, sum_boxes
from fastconv._engines.spectra.volume_overlap_save import VolumeOverlapSaveEngine, supports
from fastconv._engines.spectra.volume_parts import Parts
from fastconv._engines.spectra.volume_transform import VolumeTransform, sizes
from fastconv._runtime.instrumentation import forced, observed
from tests import oracle
from tests.engines.test_separable_volume import expected, problem_of


def random_volume(rng, dtype):
    """A problem with zeros outside and any part of the full result, and its arrays."""
    shape, taps = rng.integers(1, 30, 3).tolist(), rng.integers(1, 12, 3).tolist()
    x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal(taps).astype(dtype)
    full = [extent + more - 1 for extent, more in zip(shape, taps)]
    starts = [int(rng.integers(0, extent)) for extent in full]
    outputs = [int(rng.integers(1, extent - start + 1)) for extent, start in zip(full, starts)]
    problem = problem_of(x, kernel, boundaries="zero")
    return problem._replace(out_shape=tuple(outputs), starts=tuple(starts)), x, kernel


@pytest.mark.parametrize("sums", ["f4", "f8"])
@pytest.mark.parametrize("seed", range(20))
def test_any_part_of_the_full_result(seed, sums):
    rng = np.random.default_rng(seed)
    problem, x, kernel = random_volume(rng, "f4")
    taps = kernel if problem.flip else np.ascontiguousarray(kernel[::-1, ::-1, ::-1])
    engine = VolumeTransform(problem, np.dtype(sums))
    out = oracle.LAYOUTS[sorted(oracle.LAYOUTS)[seed % len(oracle.LAYOUTS)]](np.empty(problem.out_shape, "f4"))
    if out.dtype != np.float32 or not out.dtype.isnative or not out.flags.writeable:
        out = np.empty(problem.out_shape, "f4")
    with forced(cpus=1 + seed % 2):
        engine.run(x, engine.prepare(taps, None), out, None)
    wanted = expected(problem._replace(dtype=np.dtype("f8")), x.astype("f8"), kernel.astype("f8"))
    limit = 4 * np.finfo("f4").eps * np.linalg.norm(x) * np.linalg.norm(kernel)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=limit)


def test_lengths_leave_room_for_the_results_and_little_more():
    rng = np.random.default_rng(1)
    for _ in range(50):
        problem, _, _ = random_volume(rng, "f4")
        full = [extent + more - 1 for extent, more in zip(problem.x_shape, problem.kernel_shape)]
        for size, whole, outputs, taps in zip(sizes(problem), full, problem.out_shape, problem.kernel_shape):
            assert max(outputs, taps) <= size < 2 * max(whole, 16)


@pytest.mark.parametrize("seed", range(20))
def test_sums_of_boxes(seed):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 5))
    shape = rng.integers(1, 40 if ndim < 4 else 12, ndim)
    x = rng.standard_normal(shape).astype(str(rng.choice(["f4", "f8"])))
    axes = [
        BoxAxis(int(rng.integers(-30, 45)), int(rng.integers(1, 50)), int(rng.integers(1, 60 if ndim < 4 else 20)))
        for _ in range(rng.integers(1, ndim + 1))
    ]
    x *= 2.0 ** rng.integers(-40, 40, x.shape)
    found = sum_boxes(x, np.dtype(str(rng.choice(["f4", "f8"]))), axes, None)
    wanted = np.abs(x).astype("g")
    for axis, (first, taps, outputs) in enumerate(axes, ndim - len(axes)):
        lines = np.moveaxis(wanted, axis, 0)
        parts = [lines[max(0, first + k) : max(0, first + k + taps)].sum(axis=0) for k in range(outputs)]
        wanted = np.moveaxis(np.stack(parts), 0, axis)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("amount", [0, 0.5])
def test_whole_kernels_are_exact_where_samples_are_whole(dtype, amount):
    rng = np.random.default_rng(2)
    x = rng.integers(-1000, 1000, (20, 30, 40)).astype(dtype)
    x[0, 0, 0] += amount
    kernel = rng.integers(-100, 100, (5, 6, 7)).astype(dtype)
    problem = problem_of(x, kernel, boundaries="reflect")
    engine, out = VolumeOverlapSaveEngine(problem), np.empty(problem.out_shape, dtype)
    with observed() as events:
        engine.run(x, engine.prepare(kernel), out, None)
    assert {event.sums for event in events if event.name == "transform"} == {np.dtype("f8")}
    assert ("whole" in [event.name for event in events]) == (amount == 0)
    wanted = expected(problem._replace(dtype=np.dtype("f8")), x.astype("f8"), kernel.astype("f8"))
    if amount == 0:
        np.testing.assert_array_equal(out, wanted.astype(dtype))
    else:
        limit = 4 * np.finfo("f8").eps * np.linalg.norm(x) * np.linalg.norm(kernel)
        np.testing.assert_allclose(out, wanted, rtol=np.finfo(dtype).eps, atol=limit)


def test_volumes_beyond_the_largest_spectrum_are_not_supported():
    x, kernel = np.broadcast_to(np.float32(1), (2, 3000, 3000)), np.broadcast_to(np.float32(1), (2, 2000, 2000))
    assert supports(problem_of(x[:, :100, :100], kernel[:, :50, :50], boundaries="zero"))
    assert not supports(
        problem_of(np.broadcast_to(x[:1], (9, 3000, 3000)), np.broadcast_to(kernel[:1], (9, 2000, 2000)))
    )


@pytest.mark.parametrize("axis", range(3))
def test_results_before_the_first_sample(axis):
    # Kernels without the zeros that they begin with have them: no sample is under a tap there.
    rng = np.random.default_rng(3)
    x, kernel = rng.standard_normal((24, 25, 26)), rng.standard_normal((27, 28, 29))
    for zeros in (slice(0, 9), slice(0, 20), slice(-9, None)):
        taps = kernel.copy()
        taps[(slice(None),) * axis + (zeros,)] = 0
        for mode in ("full", "same"):
            with observed() as events:
                found = fastconv.convolve(x, taps, mode)
            assert "transform" in [event.name for event in events]
            wanted = fastconv.convolve(x, taps, mode, method="direct")
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.linalg.norm(x) * np.linalg.norm(taps))


@pytest.mark.parametrize("boundary", ["zero", "mirror"])
def test_parts_begin_at_or_before_their_results(boundary):
    x, kernel = np.ones((9, 10, 11)), np.ones((4, 5, 6))
    problem = problem_of(x, kernel, boundaries=boundary)
    for starts in ((-7, -8, -9), (-3, 0, 2), (12, -1, 16), (0, 0, 0), (11, 13, 15)):
        for outputs in ((1, 1, 1), (3, 9, 20)):
            for has_gaps in (False, True):
                volume = Parts.of(problem._replace(starts=starts, out_shape=outputs), has_gaps).volume
                assert min(volume.starts) >= 0
