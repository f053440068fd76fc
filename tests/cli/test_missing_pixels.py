"""The command `fastconv` with pixels that are missing."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli.entry import main

BOX = kernels.box(3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a map of which pixels are -9999, a picture, and a mask."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    heights = rng.uniform(0, 100, (20, 30)).astype(np.float32)
    heights[4:9, 5:20] = -9999
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[42113], tags.tagtype[42113] = "-9999\0", 2
    Image.fromarray(heights).save("map.tif", tiffinfo=tags)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save("in.png")
    mask = np.full((20, 30), 255, np.uint8)
    mask[10:15, 3:12] = 0
    Image.fromarray(mask).save("mask.png")
    return tmp_path


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image).copy()


def test_pixels_of_a_value(folder, capsys):
    heights = pixels_of("map.tif")
    expect = pictures.filter(heights, BOX, weights=heights != -9999, missing_value=-9999)
    for number, value in enumerate(("-9999", "tag")):
        assert main(["map.tif", f"out{number}.tif", "--kernel", "box", "--nodata", value]) == 0
        np.testing.assert_array_equal(pixels_of(f"out{number}.tif"), expect)
    assert (expect == -9999).any()
    assert (expect[heights == -9999] > 0).any()
    assert capsys.readouterr().err == ""
    assert main(["in.png", "plain.png", "--kernel", "box", "--nodata", "tag"]) == 0
    assert capsys.readouterr().err == "fastconv: note: in.png: names no value of missing pixels: all are known\n"
    np.testing.assert_array_equal(pixels_of("plain.png"), pictures.filter(pixels_of("in.png"), BOX))
    heights[heights == -9999] = np.nan
    Image.fromarray(heights).save("nan.tif")
    assert main(["nan.tif", "filled.tif", "--kernel", "box", "--nodata", "nan"]) == 0
    np.testing.assert_array_equal(pixels_of("filled.tif"), pictures.filter(heights, BOX, nan="ignore"))


def test_a_colour_is_missing_if_all_its_channels_are(folder):
    frame = pixels_of("in.png")
    frame[2:8, 2:8], frame[0, 0, 1] = 7, 7
    Image.fromarray(frame).save("in.png")
    assert main(["in.png", "out.png", "--kernel", "box", "--nodata", "7"]) == 0
    expect = pictures.filter(frame, BOX, weights=~(frame == 7).all(axis=2), missing_value=7)
    np.testing.assert_array_equal(pixels_of("out.png"), expect)
    assert (expect[4, 4] == 7).all()


def test_masks(folder):
    weights = pixels_of("mask.png") / np.float32(255)
    assert main(["in.png", "out.png", "--kernel", "box", "--mask", "mask.png"]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), pictures.filter(pixels_of("in.png"), BOX, weights=weights))
    assert main(["map.tif", "both.tif", "--kernel", "box", "--mask", "mask.png", "--nodata", "-9999"]) == 0
    heights = pixels_of("map.tif")
    expect = pictures.filter(heights, BOX, weights=weights * (heights != -9999), missing_value=-9999)
    np.testing.assert_array_equal(pixels_of("both.tif"), expect)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nodata", "none"], "argument --nodata: must be a number, nan, inf, or tag; got 'none'"),
        (["--mask", "nothing.png"], "nothing.png"),
        (["--mask", "small.png"], "argument --mask: must be of the size of the picture; they have 30 x 20 and 2 x 1"),
        (
            ["--mask", "mask.png", "--alpha", "filter"],
            "argument --alpha: must be keep or auto where pixels may be missing",
        ),
    ],
)
def test_errors(folder, capsys, arguments, message):
    Image.new("L", (2, 1)).save("small.png")
    assert main(["in.png", "out.png", "--kernel", "box", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert main(["in.png", "mask.png", "--kernel", "box", "--mask", "mask.png", "--force"]) == 2
    assert "would overwrite the input" in capsys.readouterr().err


@pytest.mark.parametrize("kernel", ["edge", "sobel-x", "laplacian", "log", "1 -2 1"])
def test_kernels_whose_taps_add_up_to_0_are_refused(folder, capsys, kernel):
    for option in (["--nodata", "0"], ["--mask", "mask.png"]):
        assert main(["in.png", "out.png", "--kernel", kernel, *option]) == 2
        message = f"argument {option[0]}: is for kernels whose taps do not add up to 0\n"
        assert capsys.readouterr().err.endswith(message)


def test_a_value_that_pixels_cannot_have_is_missing_nowhere(folder):
    for value in ("1e40", "-inf", "inf"):
        assert main(["map.tif", "out.tif", "--kernel", "box", "--nodata", value, "--force"]) == 0
        np.testing.assert_array_equal(
            pixels_of("out.tif"), pictures.filter(pixels_of("map.tif"), BOX, weights=np.ones((20, 30)))
        )


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_masks_of_any_depth_are_weights(folder, dtype, white):
    weights = np.linspace(0, 1, 600).reshape(20, 30)
    mask = (weights * white).astype(dtype)
    Image.fromarray(mask).save("weights.tif")
    assert main(["map.tif", "out.tif", "--kernel", "box", "--mask", "weights.tif"]) == 0
    known = mask.astype(np.float32) / np.float32(white)
    np.testing.assert_array_equal(pixels_of("out.tif"), pictures.filter(pixels_of("map.tif"), BOX, weights=known))
