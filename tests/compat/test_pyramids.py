"""`cv2.pyrDown` and `pyrUp`: sizes around vectors and strips, layouts, memory beside the arrays, and threads."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from fastconv._engines import cost_model
from fastconv._engines.pictures import pyramid_engine
from fastconv._planning.pictures import pyramids
from fastconv._runtime.instrumentation import forced, observed
from fastconv.compat import cv2
from tests import guarded_arrays
from tests.oracle import extended

# Types with numbers of channels: each makes two routines.
KINDS = [("u1", 1), ("u1", 2), ("u1", 3), ("u1", 4), ("u1", 7), ("i2", 1), ("i2", 3), ("f4", 1), ("f4", 3), ("f4", 40)]
BOUNDARIES = {
    cv2.BORDER_REPLICATE: "nearest",
    cv2.BORDER_REFLECT: "reflect",
    cv2.BORDER_REFLECT_101: "mirror",
    cv2.BORDER_WRAP: "wrap",
}


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    """Strips of few columns, and units of few rows, for several threads."""
    monkeypatch.setattr(pyramid_engine, "STRIP_BYTES", 3000)
    monkeypatch.setattr(pyramid_engine, "UNIT_ROWS", 4)
    monkeypatch.setattr(cost_model, "PRODUCTS_FOR_THREADS", 0)
    with forced():  # clears the caches
        yield


def picture(rng, dtype, shape):
    if dtype[0] == "f":
        return rng.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def half(x, border):
    """Half the size, by sums of all taps in float64."""
    for axis in (0, 1):
        extent = x.shape[axis]
        wide, _ = extended(x.astype(np.float64), (axis,), (-2,), (extent + 2,), (BOUNDARIES[border],))
        steps = (wide.take(range(k, k + extent, 2), axis) for k in range(5))
        x = sum(tap * samples for tap, samples in zip((1, 4, 6, 4, 1), steps))
    return x / 256


def twice(x):
    """Twice the size, by sums of all taps in float64."""
    for axis in (0, 1):
        extent = x.shape[axis]
        here = np.arange(extent)
        before, centre, after = (
            x.take(places, axis).astype(np.float64)
            for places in (np.where(here, here - 1, min(1, extent - 1)), here, np.minimum(here + 1, extent - 1))
        )
        phases = before + 6 * centre + after, 4 * (centre + after)
        x = np.stack(phases, axis + 1).reshape(*x.shape[:axis], 2 * extent, *x.shape[axis + 1 :])
    return x / 64


def agrees(got, exact, x):
    if got.dtype.kind == "f":
        return np.allclose(got, exact, rtol=0, atol=4 * np.finfo(got.dtype).eps * np.abs(x).max())
    return np.array_equal(got, np.floor(exact + 0.5))


def extents_of(rng):
    """Sizes from one pixel to several vectors and strips."""
    return int(rng.integers(1, 20)), int(rng.choice([rng.integers(1, 12), rng.integers(1, 300)]))


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect")
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_pyramids_of_all_sizes_access_only_their_arrays(dtype, channels):
    rng, source, target = np.random.default_rng(1), *(guarded_arrays.Region(1 << 22) for _ in range(2))
    for number in range(40):
        x = picture(rng, dtype, (*extents_of(rng), channels))
        upper, gap = bool(number % 2), int(rng.choice([0, 0, 16, 24]))
        border = int(rng.choice(list(BOUNDARIES)))
        for call, exact in (
            (functools.partial(cv2.pyrDown, borderType=border), half(x, border)),
            (cv2.pyrUp, twice(x)),
        ):
            pitch, out_pitch = (array.shape[1] * channels * x.itemsize + gap for array in (x, exact))
            step = channels * x.itemsize
            given, around = source.filled(x, (pitch if number % 3 else -pitch, step, x.itemsize), upper)
            before = around.copy()
            dst = target.empty(exact.shape, x.dtype, (out_pitch, step, x.itemsize), upper)
            assert call(given, dst) is dst
            assert agrees(dst, exact, x), (number, x.shape, border)
            assert target.untouched(dst)
            assert np.array_equal(around, before)


@pytest.mark.parametrize(("dtype", "channels"), [("u1", 3), ("f4", 1), ("f4", 3)])
def test_pyramids_have_the_same_bits_in_every_layout_and_for_every_number_of_threads(dtype, channels, monkeypatch):
    rng = np.random.default_rng(2)
    x = picture(rng, dtype, (45, 333, channels))
    raw = np.empty(x.nbytes + 64, np.uint8)
    moved = raw[1 : 1 + x.nbytes].view(x.dtype).reshape(x.shape)  # not aligned
    moved[...] = x
    swapped = x.astype(x.dtype.newbyteorder(">"))
    layouts = [moved, np.asfortranarray(x), x[::-1].copy()[::-1], np.repeat(x, 2, 1)[:, ::2], swapped]
    for function in (cv2.pyrDown, cv2.pyrUp):
        with forced(cpus=1):
            wanted = function(x)
        with forced(cpus=4), observed() as events:
            assert function(x).tobytes() == wanted.tobytes()
        assert any(event.name == "share" for event in events)
        for other in layouts:
            assert function(other).tobytes() == wanted.tobytes()
        with monkeypatch.context() as patch, forced():
            patch.setattr(pyramid_engine, "STRIP_BYTES", 1 << 20)
            assert function(x).tobytes() == wanted.tobytes()


def test_large_floats_do_not_overflow_and_a_nan_stays_under_the_taps():
    most = float(np.finfo(np.float32).max) * (1 - 1e-6)
    for function in (cv2.pyrDown, cv2.pyrUp):
        np.testing.assert_allclose(function(np.full((9, 40), most, np.float32)), most, rtol=1e-6)
        for value in (np.nan, np.inf):
            x = np.zeros((21, 90), np.float32)
            x[10, 44] = value
            found = ~np.isfinite(function(x))
            wanted = ~np.isfinite(half(x, cv2.BORDER_DEFAULT) if function is cv2.pyrDown else twice(x))
            np.testing.assert_array_equal(found, wanted)


def test_a_boundary_of_no_samples_is_refused():
    for boundary in ("zero", "fill"):
        with pytest.raises(ValueError, match="boundary must repeat samples"):
            pyramids.Pyramid(pyramids.Request(np.dtype(np.uint8), (4, 5, 1), (2, 3), boundary, doubles=False))


def test_pyramids_without_the_compiler():
    code = """
import sys
import numpy as np
from fastconv.compat import cv2
for dtype in ("u1", "i2", "f8"):
    x = (np.arange(9 * 14 * 3).reshape(9, 14, 3) * 37 % 251 - (90 if dtype == "i2" else 0)).astype(dtype)
    for found in (cv2.pyrDown(x), cv2.pyrDown(x[..., 0], None, None, cv2.BORDER_WRAP), cv2.pyrUp(x)):
        sys.stdout.write(found.astype("f8").tobytes().hex())
"""
    printed = []
    for value in ("0", "1"):
        env = dict(os.environ, NUMBA_DISABLE_JIT=value)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
        printed.append(np.frombuffer(bytes.fromhex(done.stdout)))
    assert len(printed[0]) == 3 * (5 * 7 * 3 + 5 * 7 + 18 * 28 * 3)
    np.testing.assert_allclose(*printed, rtol=1e-14, atol=1e-13)
