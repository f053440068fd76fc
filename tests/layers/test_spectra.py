"""Layers with large kernels by spectra: results, errors, what they leave to other engines, and when they are chosen."""

import itertools
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import layers
from fastconv._engines.layers import spectral_engine
from fastconv._microkernels.layers import spectral_products
from fastconv._runtime.instrumentation import forced, observed
from tests import guarded_arrays
from tests.layers.oracle import (
    expected,
    expected_input_gradient,
    from_layout,
    in_layout,
    whole_numbers,
)
from tests.oracle import BOUNDARIES

LAYOUTS = ("channels_first", "channels_last")
EPS = {"f4": 1.2e-7, "f8": 2.3e-16}


@pytest.fixture
def always(monkeypatch):
    """The engine computes every layer that it supports."""
    monkeypatch.setattr(spectral_engine, "GAIN", 0.0)
    monkeypatch.setattr(spectral_engine, "LEAST_TAPS", 4)
    with forced():  # the choice is kept
        yield


def engines(events):
    return [event.engine for event in events if event.name == "layer"]


def close(found, expect, x, weights, dtype="f4"):
    """Assert that errors are within the bound that the engine states, for a tile of any size."""
    taps = weights.shape[2] * weights.shape[3]
    size = np.sqrt(weights.shape[1] * taps) * max(1e-30, float(abs(weights).max())) * float(abs(x).max())
    np.testing.assert_allclose(found, expect, rtol=0, atol=60 * EPS[dtype] * size)


def check(rng, shape, weights_shape, layout="channels_first", dtype="f4", bias=True, **options):
    x = rng.normal(size=shape).astype(dtype)
    weights = rng.normal(size=weights_shape).astype(dtype)
    added = rng.normal(size=weights_shape[0]).astype(dtype) if bias else None
    with observed() as events:
        found = layers.conv2d(in_layout(x, layout), weights, added, layout=layout, **options)
    assert engines(events) == ["spectral_engine"]
    assert found.dtype == dtype
    close(from_layout(found, layout), expected(x, weights, added, **options), x, weights, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_channels_outputs_and_groups(always, layout, dtype):
    rng = np.random.default_rng(0)
    for channels, outputs, groups in ((1, 1, 1), (3, 5, 1), (17, 8, 1), (6, 2, 2), (6, 18, 3), (5, 5, 5), (20, 20, 20),
                                      (4, 8, 4), (2, 33, 1)):  # fmt: skip
        check(rng, (2, channels, 19, 23), (outputs, channels // groups, 7, 8), layout, dtype, groups=groups, padding=3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_tile_and_many(always, layout):
    rng = np.random.default_rng(1)
    tiles = set()
    for (height, width), kernel in itertools.product(
        ((9, 9), (15, 40), (70, 33), (130, 150)), ((2, 9), (9, 2), (7, 7))
    ):
        for channels, groups in ((4, 1), (3, 3)):
            for number in (1, 3):
                with observed() as events:
                    check(rng, (number, channels, height, width), (channels, channels // groups, *kernel), layout,
                          groups=groups, padding="same")  # fmt: skip
                (problem,) = (event.problem for event in events if event.name == "layer")
                found = spectral_engine.tiling_of(
                    problem._replace(x_shape=(1, *problem.x_shape[1:]), channels_last=False)
                )
                tiles.add(number * found.tiles[0] * found.tiles[1])
    # Products of fewer tiles than a microkernel takes, of a multiple of them, and of others.
    most = spectral_products.TILES
    assert min(tiles) == 1 < most < max(tiles)
    assert any(count % most for count in tiles if count > most)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", BOUNDARIES)
def test_padding_modes(always, layout, mode):
    rng = np.random.default_rng(2)
    fill = {"fill_value": -2} if mode == "fill" else {}
    for padding in (4, ((9, 4), (0, 27)), ((3, 6), (2, 0)), "same"):
        for channels, groups in ((3, 1), (3, 3)):
            check(rng, (2, channels, 8, 21), (3, channels // groups, 5, 6), layout,
                  groups=groups, padding=padding, padding_mode=mode, dilation=(2, 1), **fill)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_activation_keeps_nan_and_zeros_the_rest(always, layout):
    rng = np.random.default_rng(3)
    for groups in (1, 4):
        check(rng, (1, 4, 40, 40), (4, 4 // groups, 7, 7), layout, groups=groups, activation="relu")


@pytest.mark.parametrize("x_dtype", ["u1", "i2", "f8", ">f4", "f2", "?", "c8"])
def test_types_of_input(always, x_dtype):
    rng = np.random.default_rng(4)
    x, weights = whole_numbers(rng, (2, 3, 30, 31), x_dtype), rng.normal(size=(4, 3, 7, 7)).astype("f4")
    with observed() as events:
        found = layers.conv2d(x, weights, padding=2)
    assert set(engines(events)) == {"spectral_engine"}
    assert found.dtype == np.result_type(x.dtype.newbyteorder("="), weights)
    close(found, expected(x.astype("c16" if x_dtype == "c8" else "f8"), weights, padding=2), x, weights)


def test_input_of_any_strides(always):
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(5, 3, 6, 6)).astype("f4")
    whole = rng.normal(size=(4, 6, 26, 60)).astype("f4")
    unaligned = np.frombuffer(b"x" + whole.tobytes(), np.uint8)[1:].view("f4").reshape(whole.shape)
    for x in (
        whole[::2, ::2, ::2, 1:40], whole[:, :3, :, ::-1], whole[:, :3, ::-1], whole[::-1, 2:5, :, ::2],
        unaligned[:, :3], in_layout(whole[:, :3], "channels_last").transpose(0, 3, 1, 2),
        np.broadcast_to(whole[:1, :1], (2, 3, 26, 60)),
    ):  # fmt: skip
        close(layers.conv2d(x, weights, padding=1), expected(x, weights, padding=1), x, weights)


def test_output_of_any_strides(always):
    rng = np.random.default_rng(6)
    x, weights = rng.normal(size=(2, 3, 20, 21)).astype("f4"), rng.normal(size=(4, 3, 6, 6)).astype("f4")
    expect = expected(x, weights)
    for shape, view in (((2, 8, 15, 16), np.s_[:, ::2]), ((4, 4, 15, 32), np.s_[::2, :, :, ::2]),
                        ((2, 4, 15, 16), np.s_[:, ::-1, ::-1, ::-1])):  # fmt: skip
        out = np.zeros(shape, "f4")[view]
        layers.conv2d(x, weights, out=out)
        close(out, expect, x, weights)


@pytest.mark.parametrize("groups", [1, 6])
def test_same_bits_for_any_number_of_threads_in_both_layouts(groups):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(3, 6, 230, 170)).astype("f4")
    weights = rng.normal(size=(6, 6 // groups, 25, 25)).astype("f4")
    results = set()
    for layout, workers in itertools.product(LAYOUTS, (1, 2, 3, 7)):
        with observed() as events, forced(cpus=8):
            found = layers.conv2d(in_layout(x, layout), weights, layout=layout, groups=groups, workers=workers)
        assert engines(events) == ["spectral_engine"]
        assert workers == 1 or any(event.name == "share" for event in events)
        results.add(from_layout(found, layout).tobytes())
    assert len(results) == 1


def test_results_of_an_image_do_not_depend_on_others(always):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(5, 4, 50, 60)).astype("f4")
    for groups in (1, 4):
        layer = layers.plan2d(rng.normal(size=(4, 4 // groups, 9, 9)).astype("f4"), groups=groups, padding=4)
        np.testing.assert_array_equal(layer(x)[3], layer(x[3:4])[0])


def test_errors_of_random_data():
    """Root mean square, relative to eps, of the kernels' norm times that of the samples."""
    rng = np.random.default_rng(9)
    x, weights = rng.normal(size=(1, 64, 60, 60)).astype("f4"), rng.normal(size=(32, 64, 15, 15)).astype("f4")
    with observed() as events:
        found = layers.conv2d(x, weights)
    assert engines(events) == ["spectral_engine"]
    error = np.sqrt(np.mean((found - expected(x, weights)) ** 2))
    assert error < 4 * EPS["f4"] * np.sqrt(64 * 15 * 15)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_is_left_to_another_engine(always, monkeypatch, value, groups):
    rng = np.random.default_rng(10)
    x = rng.normal(size=(2, 4, 60, 60)).astype("f4")
    weights = rng.normal(size=(4, 4 // groups, 15, 15)).astype("f4")
    x[1, 2, 30:34, 30:40] = value
    with observed() as events:
        found = layers.conv2d(x, weights, padding=7, groups=groups, activation="relu")
    assert len(engines(events)) == 2
    assert engines(events)[0] == "spectral_engine"
    monkeypatch.setattr(spectral_engine, "GAIN", np.inf)
    with forced():
        direct = layers.conv2d(x, weights, padding=7, groups=groups, activation="relu")
    np.testing.assert_array_equal(found, direct)
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_numbers_near_the_smallest_ones_are_left_to_another_engine(always, dtype):
    rng, least, large = (
        np.random.default_rng(5),
        np.finfo(dtype).smallest_subnormal,
        2.0 ** (60 if dtype == "f4" else 900),
    )
    x, weights = rng.integers(-3, 4, (1, 2, 20, 21)).astype(dtype), rng.integers(-3, 4, (3, 2, 5, 5)).astype(dtype)
    x[:, 0, :9] = 0
    expect = expected(x, weights, padding=2)
    tiny, middle = 64 * np.finfo(dtype).tiny, np.sqrt(np.finfo(dtype).tiny)
    for a, b in ((least, large), (large, least), (tiny, large), (large, tiny), (middle, middle)):
        with observed() as events:
            result = layers.conv2d((x * a).astype(dtype), (weights * b).astype(dtype), padding=2)
        assert engines(events)[0] == "spectral_engine"
        assert len(engines(events)) == 2
        np.testing.assert_array_equal(result, expect * (a * b))
    for a, b in ((0, 1), (1, 0), (1 / large, large)):
        with observed() as events:
            result = layers.conv2d((x * a).astype(dtype), (weights * b).astype(dtype), padding=2)
        assert engines(events) == ["spectral_engine"]
        np.testing.assert_allclose(result, expect * (a * b), atol=2000 * np.finfo(dtype).eps)


def test_weights_that_are_not_finite(always):
    x = np.ones((1, 2, 30, 30), "f4")
    weights = np.ones((3, 2, 7, 7), "f4")
    weights[1, 1, 3, 3] = np.inf
    np.testing.assert_array_equal(layers.conv2d(x, weights, padding=3), expected(x, weights, padding=3))
    np.testing.assert_array_equal(layers.conv2d(x, weights), expected(x, weights))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_to_the_input(always, layout):
    rng = np.random.default_rng(11)
    for groups, mode in itertools.product((1, 2, 4), ("zero", "mirror")):
        shape, weights = (2, 4, 23, 27), rng.normal(size=(4, 4 // groups, 7, 9)).astype("f4")
        gradient = rng.normal(size=(2, 4, 21, 23)).astype("f4")
        options = {"padding": 2, "groups": groups, "padding_mode": mode}
        with observed() as events:
            found = layers.conv2d_input_gradient(
                in_layout(gradient, layout), weights,
                shape if layout == "channels_first" else (2, 23, 27, 4), layout=layout, **options,
            )  # fmt: skip
        assert engines(events) == ["spectral_engine"]
        close(
            from_layout(found, layout), expected_input_gradient(gradient, weights, shape, **options), gradient, weights
        )


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_memory_beside_the_arrays_is_touched(always, layout):
    rng, choose = np.random.default_rng(12), random.Random(12)
    source, target = guarded_arrays.Region(1 << 20), guarded_arrays.Region(1 << 20)
    for _ in range(40):
        dtype = choose.choice(("f4", "f8"))
        groups = choose.choice((1, 2, 3))
        channels = groups * choose.choice((1, 2, 9))
        outputs = channels if choose.random() < 0.5 else groups * choose.randint(1, 5)
        kernel = choose.choice(((2, 2), (5, 8), (9, 9)))
        options = {
            "dilation": choose.choice((1, 2)), "padding": choose.choice((0, 3, ((4, 0), (0, 5)), "same")),
            "groups": groups, "padding_mode": choose.choice(BOUNDARIES),
        }  # fmt: skip
        x = rng.normal(size=(choose.choice((1, 2)), channels, choose.randint(18, 24), choose.randint(18, 40)))
        x, weights = x.astype(dtype), rng.normal(size=(outputs, channels // groups, *kernel)).astype(dtype)
        expect = expected(x, weights, **options)
        upper = choose.random() < 0.5
        given, _ = source.filled(in_layout(x, layout), upper=upper)
        out = target.empty(in_layout(expect, layout).shape, dtype, upper=not upper)
        with observed() as events:
            layers.conv2d(given, weights, layout=layout, out=out, **options)
        assert engines(events) == ["spectral_engine"]
        close(from_layout(out, layout), expect, x, weights, dtype)
        assert target.untouched(out)


def chosen(shape, weights_shape, dtype="f4", **options):
    with observed() as events:
        layers.conv2d(np.ones(shape, dtype), np.ones(weights_shape, dtype), **options)
    return engines(events)[0] == "spectral_engine"


def test_the_choice():
    assert chosen((1, 32, 64, 64), (32, 32, 15, 15), padding="same")
    assert chosen((1, 32, 64, 64), (32, 32, 15, 15), "f8", padding="same")
    assert chosen((1, 24, 96, 96), (24, 1, 41, 41), padding="same", groups=24)
    assert chosen((1, 16, 64, 64), (16, 4, 25, 25), groups=4)
    assert not chosen((1, 64, 56, 56), (64, 64, 3, 3), padding="same")
    assert not chosen((1, 64, 56, 56), (64, 64, 5, 5), padding="same")
    assert not chosen((1, 24, 56, 56), (24, 1, 7, 7), padding="same", groups=24)
    assert not chosen((1, 32, 64, 64), (32, 32, 15, 15), padding=7, stride=2)
    assert not chosen((1, 32, 64, 64), (32, 32, 15, 15), "i4", padding="same")
    assert not chosen((1, 8, 16, 16), (8, 8, 15, 15))  # two by two outputs
    assert not chosen((1, 1, 4, 3000), (8, 1, 1, 200))
    assert chosen((1, 8, 20, 20), (8, 8, 15, 15), padding=100, padding_mode="wrap")
    assert not chosen((1, 8, 9, 9), (8, 8, 15, 15), padding=100, padding_mode="wrap")  # many repetitions


def test_banks_of_kernels_keep_the_accuracy_of_convolve2d(always):
    """Errors there are relative to what lies under the kernel."""
    image = np.ones((256, 256), "f4")
    image[:64] = 1e7
    kernels = np.random.default_rng(13).normal(size=(32, 9, 9)).astype("f4")
    with observed() as events:
        found = fastconv.convolve_bank(image, kernels, "same")
    assert engines(events) == ["planewise_engine"]
    single = fastconv.convolve2d(image, kernels[5], "same")
    np.testing.assert_allclose(found[5, 90:], single[90:], rtol=0, atol=1e-4)


def test_plans(always):
    rng = np.random.default_rng(14)
    x, weights = rng.normal(size=(2, 3, 40, 40)).astype("f4"), rng.normal(size=(4, 3, 9, 9)).astype("f4")
    bias = rng.normal(size=4).astype("f4")
    layer, expect = layers.plan2d(weights, bias, padding=4), layers.conv2d(x, weights, bias, padding=4)
    for plan in (layer, layer, pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(plan(x), expect)


INTERRUPTED = """
import threading, os, signal
import numpy as np
from fastconv import layers
x, weights = np.ones((16, 32, 128, 128), np.float32), np.ones((64, 32, 21, 21), np.float32)
layers.conv2d(x[:1], weights)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job of a shell
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        layers.conv2d(x, weights)
except KeyboardInterrupt:
    print("interrupted")
print(round(float(layers.conv2d(x[:1], weights)[0, 0, 5, 5]), 1))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to processes")
def test_an_interrupted_layer():
    found = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=600)
    assert found.stdout.split() == ["interrupted", "14112.0"], found.stderr
