"""Lower bounds of what is under a kernel, for groups of results."""

import numpy as np
import pytest

from fastconv._engines.spectra.window_bounds import WindowAxis, groups_of, results_of, survey
from fastconv._runtime.instrumentation import forced
from tests import guarded_arrays


def random_axis(rng, samples):
    return WindowAxis(int(rng.integers(-30, samples + 5)), int(rng.integers(1, 50)), int(rng.integers(1, 60)), samples)


def norms_under(x, axes):
    """For each result the norm of the samples under the kernel."""
    squares = np.square(x, dtype="f8")
    for axis, window in enumerate(axes, x.ndim - len(axes)):
        lines = np.moveaxis(squares, axis, 0)
        parts = [lines[low:high].sum(axis=0) for low, high in zip(*window.spans)]
        squares = np.moveaxis(np.stack(parts), 0, axis)
    return np.sqrt(squares)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("seed", range(12))
def test_bounds_are_below_what_is_under_the_kernel(seed, dtype):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(3, 6))
    shape = rng.integers(1, 45 if ndim == 3 else 9, ndim)
    x = rng.standard_normal(shape).astype(dtype) * (2.0 ** rng.integers(-20, 20, shape)).astype(dtype)
    axes = [random_axis(rng, int(extent)) for extent in shape[-int(rng.integers(2, ndim + 1)) :]]
    groups = [groups_of(axis) for axis in axes]
    if guarded_arrays.available:
        x, _ = guarded_arrays.Region(x.nbytes).filled(x)
    with forced(cpus=2):
        found = survey(x, groups, None)
    assert (found.lowest, found.highest) == (min(0, x.min()), max(0, x.max()))
    np.testing.assert_allclose(found.norm, np.linalg.norm(x.astype("f8")), rtol=1e-5)
    np.testing.assert_allclose(found.cells.sum(), np.abs(x.astype("f8")).sum(), rtol=1e-5)
    bounds, norms = found.least_norms(), norms_under(x, axes)
    for place in np.ndindex(bounds.shape):
        marked = np.zeros(bounds.shape, bool)
        marked[place] = True
        under = norms.flat[results_of(marked, groups, norms.shape)]
        assert bounds[place] <= under.min() + 1e-12 * found.norm
    everything = results_of(np.ones(bounds.shape, bool), groups, norms.shape)
    assert sorted(everything) == list(range(norms.size))


def test_groups_are_large_in_the_middle_and_small_at_the_ends():
    full = groups_of(WindowAxis(-63, 64, 127, 64))
    assert full.outputs[:3].tolist() == [0, 2, 6]
    assert len(full.most) < 20
    valid = groups_of(WindowAxis(0, 21, 980, 1000))
    assert np.diff(valid.outputs).max() == 11
    assert len(valid.ends) <= 2 * len(valid.most) + 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(value):
    x = np.ones((5, 6, 37), "f4")
    groups = [groups_of(WindowAxis(0, extent, 1, extent)) for extent in x.shape]
    assert survey(x, groups, None).is_finite
    for place in ((0, 0, 0), (4, 5, 36), (2, 3, 33)):
        holed = x.copy()
        holed[place] = value
        assert not survey(holed, groups, None).is_finite
