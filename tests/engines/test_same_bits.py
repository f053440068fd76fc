"""Results do not depend, to the last bit, on workers, layouts, alignment, batches and plans."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import image
from fastconv._engines import cost_model
from fastconv._runtime.instrumentation import observed
from tests.oracle import LAYOUTS

FLOATS = ("f2", "f4", "f8", "c8", "c16")
METHODS = ("direct", "separable", "fft", "auto")
SHAPES = [
    ((37, 61), (0, 1), (5, 3)),
    ((21, 40, 3), (0, 1), (3, 4)),
    ((4, 50, 60), (1, 2), (9, 9)),
    ((300,), (0,), (9,)),
    ((40, 3), (0,), (5,)),
    ((6, 20, 30), (0,), (5,)),
]
CASES = [(*shape, method) for method in METHODS for shape in SHAPES if method != "separable" or len(shape[1]) == 2]


def numbers(rng, shape, dtype):
    """Numbers with inexact sums, which depend on the order of summation."""
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def taps_for(rng, taps, dtype, method):
    if method != "separable":
        return numbers(rng, taps, dtype)
    if dtype == "f2":  # exact products, so that the kernel is separable
        return np.outer(*(rng.integers(1, 9, n) for n in taps)).astype(dtype)
    return np.outer(*(numbers(rng, n, dtype).real for n in taps))


def convolve(x, kernel, axes, method, **options):
    if len(axes) == 1:
        return fastconv.convolve1d(x, kernel, "same", axis=axes[0], boundary="mirror", method=method, **options)
    return fastconv.convolve2d(x, kernel, "same", axes=axes, boundary="mirror", method=method, **options)


def off_by(array, count):
    """Copy an array to `count` bytes after a multiple of 64."""
    raw = np.zeros(array.nbytes + 128, np.uint8)
    begin = -raw.ctypes.data % 64 + count
    moved = raw[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def assert_same_bits(found, wanted):
    assert found.dtype == wanted.dtype
    assert found.tobytes() == wanted.tobytes()


def test_another_order_of_summation_changes_bits():
    rng = np.random.default_rng(1)
    x, kernel = numbers(rng, (37, 61), "f8"), numbers(rng, (5, 3), "f8")
    one = fastconv.convolve2d(x, kernel, "valid")
    other = np.flip(fastconv.convolve2d(np.flip(x), np.flip(kernel), "valid"))
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "axes", "taps", "method"), CASES)
def test_results_do_not_depend_on_layouts_alignments_and_plans(shape, axes, taps, method, dtype):
    rng = np.random.default_rng(2)
    x, kernel = numbers(rng, shape, dtype), taps_for(rng, taps, dtype, method)
    usual = convolve(x, kernel, axes, method)
    for layout in LAYOUTS.values():
        assert_same_bits(convolve(layout(x), kernel, axes, method), usual)
        assert_same_bits(convolve(x, layout(kernel), axes, method), usual)
    for count in (1, 2, 3, 4, 8, 12, 16, 20, 32, 33, 48, 60, 63, 64):
        out = off_by(np.zeros_like(usual), 64 - count)
        assert convolve(off_by(x, count), off_by(kernel, count), axes, method, out=out) is out
        assert_same_bits(out, usual)
    for layout in ("fortran", "strided", "reversed", "crop", "unaligned"):
        assert_same_bits(convolve(x, kernel, axes, method, out=LAYOUTS[layout](np.zeros_like(usual))), usual)
    prepared = fastconv.plan(
        kernel, shape, x.dtype, "same", axes=axes if len(axes) == 2 else axes[0], boundary="mirror", method=method
    )
    for _ in range(2):
        assert_same_bits(prepared(x), usual)
    assert_same_bits(prepared(x, np.zeros_like(usual)), usual)


# Shapes, axes and taps of which many reach no sample at the ends; lines are longer than the widest tiles.
ENDS = [
    ((700,), (0,), (650,)),
    ((3, 900), (1,), (301,)),
    ((400, 3), (0,), (333,)),
    ((90, 40), (0,), (77,)),
    ((47, 59), (0, 1), (41, 50)),
    ((47, 59), (1, 0), (9, 45)),
    ((40, 59, 3), (0, 1), (33, 50)),
    ((30, 8, 300), (0, 1), (25, 7)),
    ((2, 200), (0, 1), (1, 180)),
    ((200, 2), (0, 1), (180, 1)),
]


@pytest.mark.parametrize("dtype", [*FLOATS, "i4"])
@pytest.mark.parametrize(("shape", "axes", "taps"), ENDS)
def test_taps_that_reach_no_sample_are_left_out_without_a_trace(monkeypatch, shape, axes, taps, dtype):
    rng = np.random.default_rng(6)
    x, kernel = (50 * numbers(rng, size, "c16" if dtype[0] == "c" else "f8") for size in (shape, taps))
    with np.errstate(all="ignore"):
        x, kernel = x.astype(dtype), kernel.astype(dtype)
    found, blocks_of = {}, {}
    monkeypatch.setattr(cost_model, "LEAST_OUTSIDE", 0)
    for most in (0, cost_model.MOST_INSIDE, 2):  # never, where it pays, and always
        monkeypatch.setattr(cost_model, "MOST_INSIDE", most)
        fastconv.clear_caches()
        for mode in ("full", "same"):
            options = {"axis": axes[0]} if len(axes) == 1 else {"axes": axes}
            function = fastconv.convolve1d if len(axes) == 1 else fastconv.convolve2d
            with observed() as events:
                found[most, mode] = function(x, kernel, mode, method="direct", **options)
            (event,) = (event for event in events if event.name == "direct")
            blocks, pieces = int(event.job["blocks"]), event.tables["pieces"]
            assert blocks >= blocks_of.setdefault(mode, blocks)
            if len(axes) == 1 and mode == "full":
                assert ({*pieces["taps"].tolist()} <= {1, *taps}) == (most == 0)
            assert_same_bits(found[most, mode], found[0, mode])
    fastconv.clear_caches()


def test_a_kernel_that_is_not_finite_affects_only_results_with_samples_under_it():
    kernel = np.ones(600)
    kernel[[0, -1]] = np.inf
    found = fastconv.convolve1d(np.ones(500), kernel, method="direct")
    assert np.isinf(found).sum() == 1000
    assert np.isfinite(found[500:599]).all()


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "i4", "u1"])
@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_number_of_workers(method, dtype):
    rng = np.random.default_rng(3)
    if dtype[0] in "iu":
        if method == "fft":
            method = "auto"
        x, kernel = rng.integers(0, 250, (900, 800)).astype(dtype), np.outer([1, 2, 3, 2], [1, 5, 1]).astype(dtype)
    else:
        x, kernel = numbers(rng, (700, 650), dtype), taps_for(rng, (9, 8), dtype, method)
    usual = convolve(x, kernel, (0, 1), method, workers=1)
    for workers in (2, 3, 8, None):
        assert_same_bits(convolve(x, kernel, (0, 1), method, workers=workers), usual)


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_pictures_do_not_depend_on_workers_and_layouts(dtype):
    rng = np.random.default_rng(4)
    picture = (rng.random((400, 500, 3)) * 250).astype(dtype)
    for kernel in (numbers(rng, (3, 3), "f8"), np.outer(np.arange(1, 10.0), np.arange(1.5, 9)) / 300):
        usual = image.filter(picture, kernel, workers=1)
        for workers in (2, 3, 8):
            assert_same_bits(image.filter(picture, kernel, workers=workers), usual)
        small = picture[:60, :70].copy()
        usual = image.filter(small, kernel)
        for layout in LAYOUTS.values():
            found = image.filter(layout(small), kernel)
            assert_same_bits(found.astype(small.dtype), usual)
        assert_same_bits(image.filter(off_by(small, 5), kernel, out=off_by(np.zeros_like(small), 3)), usual)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_place_in_a_batch(method, dtype):
    rng = np.random.default_rng(5)
    for shape, taps in (((37, 61), (5, 3)), ((70, 80), (9, 9)), ((300,), (9,)), ((3000,), (101,))):
        if method == "separable" and len(taps) == 1:
            continue
        x, kernel = numbers(rng, shape, dtype), taps_for(rng, taps, dtype, method)
        for axis in range(len(shape) + 1):
            axes = tuple(k + (k >= axis) for k in range(len(shape)))
            batch = np.stack([x, x, 3 * x, x, x], axis)
            found = np.moveaxis(convolve(batch, kernel, axes, method), axis, 0)
            for k in (1, 3, 4):
                assert_same_bits(found[k], found[0])


CODE = """
import hashlib
import numpy as np
import fastconv
rng = np.random.default_rng(6)
x, kernel = rng.standard_normal((300, 310)), rng.standard_normal((5, 4))
print(hashlib.sha256(fastconv.convolve2d(x, kernel, "same", boundary="wrap")).hexdigest())
"""


def test_cached_kernels_give_the_same_results(tmp_path):
    found = []
    for _ in range(2):
        env = dict(os.environ, FASTCONV_CACHE_DIR=str(tmp_path))
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        found.append(done.stdout)
        assert list(tmp_path.iterdir())  # compiled by the first process, read by the second
    assert len(found[0]) == 65
    assert found[0] == found[1]
