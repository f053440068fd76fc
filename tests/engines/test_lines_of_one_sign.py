"""Lines of a batch that share a tile: those of one sign keep relative accuracy, whatever lies in the others."""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv._engines import cost_model
from fastconv._runtime.instrumentation import forced, observed
from fastconv.compat import ndimage, signal
from tests.engines.test_footprint_accuracy import FLOATS, bounds, by_axis, drawn, has_one_sign, random_signs
from tests.sizes import enlarged


def spike(rng, count):
    x = np.zeros(count)
    x[int(rng.integers(count))] = 10.0 ** rng.uniform(-3, 3)
    return x


def fading(rng, count):
    return rng.uniform(0.5, 1, count) * np.exp(-np.arange(count) * 40.0 / count)


def noise(rng, count):
    return rng.standard_normal(count) * 10.0 ** rng.uniform(-3, 3)


def spike_below_zero(rng, count):
    return -spike(rng, count)


def nothing(rng, count):
    return np.zeros(count)


def lines_in_all_orders(rng, count, dtype):
    """Lines of four kinds, so that each kind has all others as neighbours, on both sides."""
    orders = itertools.permutations([spike, noise, spike_below_zero, fading])
    kinds = [kind for order in orders for kind in (*order, *([nothing] if rng.random() < 0.3 else []))]
    x = np.array([kind(rng, count) for kind in kinds])
    return (x + 1j * x[::-1] if np.dtype(dtype).kind == "c" else x).astype(dtype)


def hollow(rng, taps):
    """Taps of one sign: large ones at both ends, and tiny ones between, which the errors of these would hide."""
    kernel = rng.uniform(0.5, 1, taps) * 1e-14
    kernel[[0, -1]] = 1
    return kernel


def hollow_below_zero(rng, taps):
    return -hollow(rng, taps)


KERNELS = [hollow, hollow_below_zero, random_signs]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kernel", KERNELS)
def test_lines_of_every_order_are_within_their_own_guarantee(kernel, axis, dtype):
    rng = np.random.default_rng([1, axis, KERNELS.index(kernel)])
    x, weights = np.moveaxis(lines_in_all_orders(rng, 200, dtype), 1, axis), drawn(rng, kernel, 50, dtype)
    assert by_axis(np.ascontiguousarray(x), weights, axis) < 1
    assert by_axis(x[::-1], weights, axis, mode="same", boundary="wrap") < 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.usefixtures("small_tiles")
def test_lines_of_many_tiles_are_within_their_own_guarantee(axis, dtype):
    rng = np.random.default_rng([2, axis])
    x = np.moveaxis(lines_in_all_orders(rng, *enlarged((100,), dtype), dtype), 1, axis).copy()
    for kernel in KERNELS:
        assert by_axis(x, drawn(rng, kernel, 13, dtype), axis, mode="same", boundary="mirror") < 1


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_of_volumes_are_within_their_own_guarantee(axis, dtype):
    rng = np.random.default_rng([3, axis])
    x = np.moveaxis(lines_in_all_orders(rng, 130, dtype)[:96].reshape(6, 16, 130), 2, axis).copy()
    assert by_axis(x, drawn(rng, hollow, 40, dtype), axis, mode="valid") < 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1])
def test_lines_are_within_their_own_guarantee_where_threads_share_a_plane(axis, dtype, monkeypatch):
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 0)
    monkeypatch.setattr(cost_model, "WORK_FOR_THREADS", 0)
    rng = np.random.default_rng([4, axis])
    x = np.moveaxis(lines_in_all_orders(rng, 300, dtype)[:16], 1, axis).copy()
    shared = []
    with forced(cpus=2):
        for kernel in KERNELS:
            weights = drawn(rng, kernel, 200, dtype)
            with observed() as events:
                two = fastconv.convolve1d(x, weights, "valid", axis=axis, method="fft", workers=2)
            one = fastconv.convolve1d(x, weights, "valid", axis=axis, method="fft", workers=1)
            np.testing.assert_array_equal(one, two)
            assert by_axis(x, weights, axis, mode="valid") < 1
            shared += [event.shared for event in events if event.name == "fft"]
    assert axis == 1 or any(shared)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("end", [0, -1])
def test_columns_of_few_outputs_are_compared_with_their_own_samples_where_threads_share_a_plane(
    end, dtype, monkeypatch
):
    monkeypatch.setattr(cost_model, "LARGE_PLANE", 0)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((206, 24))
    x[[0, -1], 1:] *= 1e12  # loud ones, in all columns but the first, which few kernels cover
    weights = random_signs(rng, 200)
    weights[end] = 1e-9  # hardly counts, so that all outputs are one group
    with forced(cpus=2), observed() as events:
        assert by_axis(x.astype(dtype), weights.astype(dtype), 0, mode="valid") < 1
    assert [event.shared for event in events if event.name == "fft"] == [True]


def drop_ins(x, kernel):
    yield ndimage.convolve1d(x, kernel, mode="constant", bits=False)
    yield ndimage.convolve1d(x.T, kernel, axis=0, mode="constant", bits=False).T
    yield signal.fftconvolve(x, kernel[np.newaxis], "same", axes=1)
    yield signal.oaconvolve(x.T, kernel[:, np.newaxis], "same", axes=0).T


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_lines_of_one_sign_keep_their_relative_accuracy_in_drop_ins(dtype):
    rng = np.random.default_rng(7)
    x, kernel = lines_in_all_orders(rng, 3000, dtype), drawn(rng, hollow, 1001, dtype)
    of_one_sign = np.array([has_one_sign(line) for line in x])
    lines = x[of_one_sign]
    exact = np.array([np.convolve(line.astype("g"), kernel.astype("g"), "same") for line in lines])
    eps, lost = bounds(dtype)
    for found in drop_ins(x, kernel):
        error = np.abs(found[of_one_sign] - exact)
        assert (error <= lost * eps * np.abs(exact) + kernel.size * np.finfo(dtype).smallest_subnormal).all()
        assert (found[of_one_sign] * exact >= 0).all()
