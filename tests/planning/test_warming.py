"""Compilation ahead of time, and the configuration report."""

import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv._runtime import cache_folder
from fastconv.cli.entry import main
from tests.sample_calls import succeed

# Convolutions of many kinds and sizes after `warmup` of their types. Making plans suffices: it compiles everything.
AFTER = """
import itertools, sys
import numpy as np
from PIL import Image
import fastconv
from fastconv import image, kernels, layers
from fastconv._runtime import cache_folder
from fastconv._runtime.instrumentation import listeners

types = sys.argv[1].split(",")
volumes = "volumes" in sys.argv
fastconv.warmup(types, volumes=volumes)
before = dict(cache_folder.counts)
compiled = []
listeners.append(lambda event: event.name == "compile" and compiled.append((event.routine, event.signature)))
rng = np.random.default_rng(1)

def plan(*arguments, **options):
    try:
        fastconv.plan(*arguments, **options)
    except ValueError as error:
        assert "method=" in str(error), error  # the method does not support these types

def taps(shape, dtype):
    return (100 * rng.random(shape)).astype(dtype)

for x, kernel in itertools.product(types, types):
    for method in ("auto", "direct", "fft"):
        for samples, count in ((1, 1), (50, 50), (3000, 7), (40_000, 3001), (300, 3000), (1 << 20, 1001)):
            plan(taps(count, kernel), samples, x, "full", method=method)
            plan(taps(count, kernel), (3, samples), x, "same", boundary="wrap", method=method)
            plan(taps(count, kernel), (samples, 3), x, "same", axes=0, boundary="fill", fill_value=1, method=method)
    sizes = ((9, 9), (300, 200), (2000, 1500))
    for method, extents in itertools.product(("auto", "direct", "separable", "fft"), sizes):
        for turn, shape in enumerate(((1, 1), (1, 9), (9, 1), (3, 3), (31, 17), (101, 3), (150, 150))):
            whole = np.outer(np.arange(1, shape[0] + 1) % 3 + 1, np.arange(1, shape[1] + 1) % 3 + 1).astype(kernel)
            given = whole if method == "separable" else taps(shape, kernel)
            modes = [{"mode": "full", "boundary": "fill", "fill_value": 1}, {"mode": "same", "boundary": "zero"}]
            modes += [{"mode": "valid"}] if max(shape) <= min(extents) else []
            layouts = ((0, 1), extents), ((0, 1), (*extents, 3)), ((2, 1), (2, *extents[::-1]))
            for number, (axes, full) in enumerate(layouts, turn):  # each takes each mode
                plan(given, full, x, axes=axes, method=method, **modes[number % len(modes)])

    for method, extents in itertools.product(("auto", "direct", "separable", "fft"), ((9, 9, 9), (30, 60, 300))):
        for shape in ((3, 3, 3), (1, 4, 9), (5, 1, 1), (7, 9, 9)) if volumes else ():
            given = np.ones(shape, kernel) if method == "separable" else taps(shape, kernel)
            for boundary in ("zero", "fill", "mirror"):
                plan(given, extents, x, "same", boundary=boundary, method=method)
                plan(given, (*extents, 2), x, "full", axes=(0, 1, 2), boundary=boundary, method=method)
            for stride, dilation in ((1, 2), (2, 1), (3, 1), ((1, 1, 4), (1, 1, 3)), (2, 3)):
                plan(taps(shape, kernel), extents, x, "same", stride=stride, dilation=dilation)
                two = stride[1:] if type(stride) is tuple else stride
                plan(taps(shape[1:], kernel), extents, x, "full", stride=two)
                plan(taps(9, kernel), extents, x, "full", stride=max(np.atleast_1d(stride)), boundary="fill")
    if volumes:
        for extent in (40, 400):
            lines = np.ones((4, extent), x), np.ones((4, 7), kernel)
            fastconv.convolve(*lines, "same", axes=1)

for x in types:
    if x in ("uint8", "uint16", "int16", "int32", "float32", "float64"):
        results = [None, *(other for other in types if other in ("float32", "float64"))]
        random = rng.random((5, 5)), rng.random((40, 40))
        for kernel in (kernels.box(), kernels.gaussian(2), kernels.sobel_x(), *random, [[1, 2]]):
            for shape, dtype, scale in itertools.product(((9, 9), (200, 300), (90, 80, 3)), results, (None, 3)):
                image.filter(taps(shape, x), kernel, dtype=dtype, scale=scale)
        for function in (image.sobel_magnitude, image.sobel_direction, image.unsharp_mask):
            function(taps((90, 80), x))
        image.difference_of_gaussians(taps((90, 80), x), 1, 2)
        image.gaussian_gradient_magnitude(taps((90, 80), x), 2)
        image.motion_blur(taps((90, 80), x), 15, 30)
        image.filter(taps((90, 80), x), np.eye(9))
        for size in (3, 17, 61, 400):
            for function in (image.box_blur, image.local_mean, image.local_std):
                function(taps((90, 80), x), size)
    if x in ("float32", "float64"):
        for layout, order in (("channels_first", (0, 1, 2, 3)), ("channels_last", (0, 2, 3, 1))):
            for channels, outputs, groups, size, side in (
                (128, 256, 1, 56, 3), (3, 128, 1, 128, 3), (128, 128, 128, 56, 3),
                (48, 48, 1, 96, 15), (8, 8, 8, 140, 41),
            ):
                images = np.ones((2, channels, size, size), x).transpose(order)
                weights = np.ones((outputs, channels // groups, side, side), x)
                layers.conv2d(images, weights, padding=side // 2, groups=groups, layout=layout)
if "uint8" in types:
    for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        picture = Image.effect_noise((90, 80), 20).convert(mode)
        for alpha in ("keep", "filter"):
            for dtype in (None, *(other for other in types if other in ("float32", "float64"))):
                image.filter(picture, kernels.gaussian(2), alpha=alpha, offset=3, dtype=dtype)
        image.gaussian_blur(picture, 3)
        image.unsharp_mask(picture)
print(before == cache_folder.counts, before["compiled"] + before["loaded"])
if before != cache_folder.counts:
    print(before, cache_folder.counts, compiled)
"""


@pytest.mark.parametrize("types", ["uint8", "float32,uint8", "complex64", "float64,int16,bool", "float16,int64"])
def test_warmup_compiles_everything(types):
    complete, *kernels = succeed(AFTER, types, timeout=300)
    assert complete == "True", kernels
    assert int(kernels[0]) > 10


@pytest.mark.parametrize("types", ["float32", "int16", "complex128"])
def test_warmup_of_volumes_compiles_everything(types):
    complete, *kernels = succeed(AFTER, types, "volumes", timeout=600)
    assert complete == "True", kernels


def test_second_warmup_compiles_nothing():
    fastconv.warmup("float32")
    before = dict(cache_folder.counts)
    fastconv.warmup(np.float32)
    fastconv.warmup(["float32", ">f4"])
    assert cache_folder.counts == before


@pytest.mark.parametrize("dtypes", ["str", "float31", None, ["float32", None], "U3", object, "M8[s]", 3, [[]], {}])
def test_dtypes_that_are_not_numeric_raise(dtypes):
    with pytest.raises(TypeError, match=r"dtypes must be numeric types, such as 'float32'; got .*"):
        fastconv.warmup(dtypes)


def test_empty_dtypes_and_invalid_number_of_threads_raise(monkeypatch):
    with pytest.raises(ValueError, match=r"dtypes must name at least one type; got \[\]"):
        fastconv.warmup([])
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "zero")
    with pytest.raises(ValueError, match="FASTCONV_NUM_THREADS must be a positive integer; got 'zero'"):
        fastconv.warmup("float32")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fastconv", *arguments],
        capture_output=True,
        text=True,
        env=dict(os.environ, **environment),
        timeout=120,
    )


def test_command_fills_the_cache_folder(tmp_path):
    folder = str(tmp_path / "kernels")
    done = run("warmup", "bool", FASTCONV_CACHE_DIR=folder)
    assert (done.returncode, done.stderr) == (0, "")
    match = re.fullmatch(rf"(\d+) kernels compiled, 0 loaded, in .* s: {re.escape(folder)}\n", done.stdout)
    assert match
    assert len(os.listdir(folder)) == int(match[1])
    done = run("warmup", "bool", FASTCONV_CACHE_DIR=folder)
    assert re.fullmatch(rf"0 kernels compiled, {match[1]} loaded, in .*: {re.escape(folder)}\n", done.stdout)


def test_command_fails_if_the_cache_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    done = run("warmup", FASTCONV_CACHE_DIR=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"fastconv: error: compiled kernels cannot be kept; .*: none: .* cannot be used .*\n", done.stderr
    )


def test_command_fails_if_not_all_kernels_can_be_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(cache_folder.counts, "compiled", cache_folder.counts["saved"] + 3)
    assert main(["warmup", "float32"]) == 2
    assert re.fullmatch(r"fastconv: error: 3 of \d+ kernels could not be saved in .*\n", capsys.readouterr().err)


def test_command_reports_invalid_dtypes(capsys):
    assert main(["warmup", "float31"]) == 2
    assert "dtypes must be numeric types, such as 'float32'; got 'float31'" in capsys.readouterr().err


def test_show_config_prints_what_it_returns(capsys):
    assert main(["config"]) == 0
    printed = capsys.readouterr().out
    assert fastconv.show_config() is None
    assert capsys.readouterr().out == printed
    sections = fastconv.show_config("dicts")
    lines = itertools.chain.from_iterable(
        (f"{title}:", *(f"  {name}: {value}" for name, value in entries.items())) for title, entries in sections.items()
    )
    assert printed == "\n".join(lines) + "\n"


def test_show_config_describes_this_process(tmp_path, monkeypatch):
    import numba

    monkeypatch.setenv("FASTCONV_NUM_THREADS", "1")
    monkeypatch.setenv("FASTCONV_CACHE_DIR", str(tmp_path / "kernels"))
    cache_folder.store.cache_clear()
    try:
        found = fastconv.show_config("dicts")
    finally:
        cache_folder.store.cache_clear()
    assert found["versions"]["fastconv"] == fastconv.__version__
    assert found["versions"]["numba"] == numba.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert found["threads"]["workers"] == found["threads"]["FASTCONV_NUM_THREADS"] == 1
    assert found["cache"]["folder"] == tmp_path / "kernels"
    assert (found["cache"]["state"], found["cache"]["kernels"]) == ("read and written", "0, 0.0 MB")


def test_show_config_reports_an_invalid_number_of_threads(monkeypatch):
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "many")
    threads = fastconv.show_config("dicts")["threads"]
    assert threads == {"workers": "none: FASTCONV_NUM_THREADS must be a positive integer; got 'many'"}


def test_show_config_refuses_other_modes():
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts'; got 'json'"):
        fastconv.show_config("json")
