"""The command `fastconv` with strides, starts, dilations, and kernels along one axis."""

import os

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image, TiffImagePlugin

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli import conversion_in_parts, large_tiffs
from fastconv.cli.entry import main
from tests import oracle

RNG = np.random.default_rng(8)
FRAME = RNG.integers(0, 256, (40, 50, 3), np.uint8)
TAPS, ROWS = np.arange(1.0, 7).reshape(2, 3), "1 2 3; 4 5 6"
OPTIONS = [
    (["--stride", "2"], {"stride": 2}),
    (["--stride", "3,2", "--mode", "valid"], {"stride": (3, 2), "mode": "valid"}),
    (["--stride", "2", "--mode", "full"], {"stride": 2, "mode": "full"}),
    (["--dilation", "2,3"], {"dilation": (2, 3)}),
    (["--start", "first"], {"start": "first"}),
    (["--start", "last", "--stride", "4", "--dilation", "2"], {"start": "last", "stride": 4, "dilation": 2}),
    (["--start", "1,0", "--correlate"], {"start": (1, 0), "correlates": True}),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def expected(pixels, how):
    """The results of the definition, rounded to pixels."""
    options = {"mode": "same", "boundary": "mirror", **how}
    sums = oracle.sums(pixels, TAPS, axes=(0, 1), flip=not options.pop("correlates", False), **options)
    return oracle.pixels(sums, pixels.dtype, scale=40)


def convert(*arguments):
    return main([*arguments, "--kernel", ROWS, "--scale", "40", "--boundary", "mirror", "--force"])


@pytest.mark.parametrize(("options", "how"), OPTIONS)
def test_results_are_those_of_the_functions(options, how, monkeypatch):
    Image.fromarray(FRAME).save("in.png")
    assert convert("in.png", "out.png", *options) == 0
    with Image.open("out.png") as found:
        np.testing.assert_array_equal(np.asarray(found), expected(FRAME, how))
    deep = FRAME.astype(np.uint16) * 250
    tifffile.imwrite("in.tif", deep, photometric="rgb", tile=(16, 16))
    assert convert("in.tif", "out.tif", *options) == 0
    found = tifffile.imread("out.tif")
    np.testing.assert_array_equal(found, expected(deep, how))
    monkeypatch.setattr(large_tiffs, "LARGEST_WHOLE", 1 << 10)
    monkeypatch.setattr(conversion_in_parts, "PART", 1 << 10)
    assert convert("in.tif", "parts.tif", *options) == 0
    np.testing.assert_array_equal(tifffile.imread("parts.tif"), found)
    for name in ("in.npy", "in.zarr"):
        if name == "in.npy":
            np.save(name, FRAME)
        else:
            zarr.open_array(name, mode="w", shape=FRAME.shape, chunks=(10, 20, 3), dtype=FRAME.dtype)[:] = FRAME
        for target in ("out.npy", "out.zarr"):
            assert convert(name, target, "--axes", "0,1", *options) == 0
            values = np.load(target) if target == "out.npy" else zarr.open_array(target, mode="r")[:]
            np.testing.assert_array_equal(values, expected(FRAME, how))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_keep_their_mode(mode):
    Image.new(mode, (20, 10), 1 if mode in ("1", "F", "I;16") else "orange").save("in.tif")
    assert main(["in.tif", "out.tif", "--kernel", "box", "--stride", "2,3", "--compare"]) == 0
    with Image.open("out.tif") as found:
        assert (found.mode, found.size) == (mode, (20 + 1 + 7, 10))


def test_kernels_along_one_axis():
    Image.fromarray(FRAME).save("in.png")
    blur, row = kernels.gaussian(sigma=2), kernels.gaussian(sigma=2).sum(axis=0, dtype=np.float64).astype(np.float32)
    for axis, taps in ((0, row[:, np.newaxis]), (1, row[np.newaxis])):
        for arguments in (["gaussian", "--sigma", "2"], [" ".join(map(repr, row.tolist()))]):
            options = ["--axes", str(axis), "--stride", "2", "--force"]
            assert main(["in.png", "out.png", "--kernel", *arguments, *options]) == 0
            expect = pictures.filter(FRAME, taps)
            with Image.open("out.png") as found:
                np.testing.assert_array_equal(np.asarray(found), expect[::2] if axis == 0 else expect[:, ::2])
    assert blur.shape == (17, 17)
    volume = RNG.random((6, 7, 8)).astype(np.float32)
    np.save("in.npy", volume)
    for axis in (0, 1, -1):
        options = ["--axes", str(axis), "--mode", "full", "--boundary", "zero", "--force"]
        assert main(["in.npy", "out.npy", "--kernel", "1 2 3", *options]) == 0
        expect = oracle.sums(volume, np.array([1.0, 2, 3]), axes=(axis,))
        np.testing.assert_allclose(np.load("out.npy"), expect, rtol=1e-5)


def test_geographic_tags_follow_strides_and_starts():
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for code, value in ((33550, (2.0, 2.0, 0.0)), (33922, (0.0, 0.0, 0.0, 500.0, 400.0, 0.0))):
        info[code], info.tagtype[code] = value, 12
    keys = {"area": (1, 1, 0, 1, 1025, 0, 1, 1), "point": (1, 1, 0, 1, 1025, 0, 1, 2)}
    for name, key in keys.items():
        info[34735], info.tagtype[34735] = key, 3
        Image.fromarray(FRAME[..., 0]).save(f"{name}.tif", tiffinfo=info)
        arguments = ["--kernel", "box", "--size", "5", "--stride", "3", "--start", "first"]
        assert main([f"{name}.tif", f"{name}-out.tif", *arguments]) == 0
        with Image.open(f"{name}-out.tif") as image:
            tags = image.tag_v2
            assert tags[33550] == (6.0, 6.0, 0.0)
            # The centre of the first result is that of the pixel at -2, -2.
            column, row, _, east, north, _ = tags[33922]
            half = 0.5 if name == "area" else 0.0
            assert east + (half - column) * 6 == pytest.approx(500 + (-2 + half) * 2)
            assert north - (half - row) * 6 == pytest.approx(400 - (-2 + half) * 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stride", "0"], "argument --stride: must be a positive integer; got '0'"),
        (["--stride", "1,2,3"], "argument --stride: must be one value, or two as ROWS,COLUMNS; got '1,2,3'"),
        (["--dilation", "-1"], "argument --dilation"),
        (["--dilation", "100000"], "argument --dilation: the kernel must span at most 268435456 pixels"),
        (["--start", "middle"], "argument --start: must be one of first, center, last, or an integer of at least 0"),
        (["--start", "0,3"], "argument --start: must be an index into the kernel, 0 .. 2; got 3"),
        (["--start", "first", "--mode", "full"], "argument --start: is for --mode same; got full"),
        (["--axes", "2"], "argument --axes: must be 0 or 1 for pictures; got 2"),
        (["--axes", "0,1"], "argument --axes: must be 0 or 1 for pictures; got 0,1"),
        (["--axes", "0", "--kernel", "sobel-x"], "argument --axes: one axis takes a kernel of one row, or a product"),
        (["--axes", "0", "--stride", "1,2"], "argument --stride: must be one value for one axis; got 1,2"),
    ],
)
def test_errors(arguments, message, capsys):
    Image.fromarray(FRAME).save("in.png")
    kernel = [] if "--kernel" in arguments else ["--kernel", "box"]
    assert main(["in.png", "out.png", *kernel, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir() == ["in.png"]
