"""The command `fastconv` with TIFFs that are converted in parts, as they are larger than memory."""

import os
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli import conversion_in_parts, large_tiffs
from fastconv.cli.entry import main
from tests.cli import interrupts

RNG = np.random.default_rng(6)
BLUR = kernels.gaussian(sigma=1.5)
BYTES = RNG.integers(0, 256, (150, 210, 3), np.uint8)


@pytest.fixture(autouse=True)
def small_parts(tmp_path, monkeypatch):
    """A working directory, and parts of 8 kB for files of 1 kB and more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(large_tiffs, "LARGEST_WHOLE", 1 << 10)
    monkeypatch.setattr(conversion_in_parts, "PART", 1 << 13)
    monkeypatch.setattr(conversion_in_parts, "PART_WITH_WEIGHTS", 1 << 13)


def convert(*arguments):
    return main([*arguments, "--kernel", "gaussian", "--sigma", "1.5", "--force"])


def check(expect, *options, source="in.tif", capsys=None):
    assert convert(source, "out.tif", *options) == 0
    found = tifffile.imread("out.tif")
    assert found.dtype == expect.dtype
    np.testing.assert_array_equal(found, expect)


LAYOUTS = [
    {},
    {"byteorder": ">", "bigtiff": True, "rowsperstrip": 17},
    {"rowsperstrip": 13, "compression": "lzw", "predictor": True},
    {"tile": (32, 48), "compression": "deflate", "byteorder": ">"},
    {"planarconfig": "separate", "tile": (32, 32), "compression": "zstd"},
    {"planarconfig": "separate", "rowsperstrip": 50},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_results_have_the_bits_of_the_whole_picture(layout, dtype, capsys):
    pixels = BYTES.astype(dtype)
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in layout else pixels
    tifffile.imwrite("in.tif", stored, photometric="rgb", metadata=None, **layout)
    for mode in ("same", "valid", "full"):
        check(pictures.filter(pixels, BLUR, mode=mode), "--mode", mode)
    assert "in.tif: 210 x 150 RGB " in capsys.readouterr().out
    with tifffile.TiffFile("in.tif") as before, tifffile.TiffFile("out.tif") as after:
        (a,), (b,) = before.pages, after.pages
        assert (a.compression, a.predictor, a.is_tiled) == (b.compression, b.predictor, b.is_tiled)
    if dtype == np.uint8:
        with Image.open("out.tif") as image:
            image.load()  # by libtiff


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (["--linear"], {"linear": True}),
        (["--alpha", "keep", "--boundary", "wrap"], {"alpha": "keep", "boundary": "wrap"}),
        (["--boundary", "fill", "--fill-value", "9"], {"boundary": "fill", "fill_value": 9}),
        (["--scale", "2", "--offset", "3", "--correlate"], {"scale": 2, "offset": 3}),
    ],
)
def test_options(options, how):
    pixels = np.concatenate((BYTES, BYTES[..., :1]), axis=2)
    tifffile.imwrite("in.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    check(pictures.filter(pixels, BLUR, alpha_channel=-1, **how), *options)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_missing_pixels(dtype):
    pixels = BYTES[..., 0].astype(dtype)
    pixels[30:90, 20:120] = 7
    mask = np.full(pixels.shape, 255, np.uint8)
    mask[60:, 100:130], mask[:20] = 0, 100
    tifffile.imwrite("in.tif", pixels, rowsperstrip=11, extratags=[(42113, "s", 0, "7", True)])
    tifffile.imwrite("mask.tif", mask, tile=(64, 64))
    Image.fromarray(mask).save("mask.png")
    known, weights = (pixels != 7).astype(np.float32), mask / np.float32(255)
    for mode in ("same", "full"):
        how = {"missing_value": 7, "mode": mode}
        options = ["--mode", mode]
        for value in ("7", "tag"):
            check(pictures.filter(pixels, BLUR, weights=known, **how), *options, "--nodata", value)
        for name in ("mask.tif", "mask.png"):
            expect = pictures.filter(pixels, BLUR, weights=known * weights, **how)
            check(expect, *options, "--nodata", "7", "--mask", name)
    if dtype == np.float32:
        pixels[pixels == 7] = np.nan
        tifffile.imwrite("nan.tif", pixels)
        check(pictures.filter(pixels, BLUR, nan="ignore", missing_value=np.nan), "--nodata", "nan", source="nan.tif")


def test_errors_of_masks_leave_no_files(capsys):
    tifffile.imwrite("in.tif", BYTES[..., 0])
    tifffile.imwrite("mask.tif", BYTES[:100, :, 0])
    before = sorted(os.listdir())
    assert convert("in.tif", "out.tif", "--mask", "mask.tif") == 2
    assert "must be of the size of the picture; they have 210 x 150 and 210 x 100" in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_pages_and_metadata():
    stack = RNG.integers(0, 65536, (3, 60, 70), np.uint16)
    geo = [(33550, "d", 3, (2.0, 2.0, 0.0), False), (33922, "d", 6, (0.0, 0.0, 0.0, 500.0, 400.0, 0.0), False)]
    about = {"resolution": (300, 300), "iccprofile": b"p" * 200, "description": "ImageJ=1.5\nimages=3\n"}
    tifffile.imwrite("in.tif", stack, extratags=geo, photometric="minisblack", metadata=None, **about)
    check(np.array([pictures.filter(page, BLUR, mode="valid") for page in stack]), "--mode", "valid")
    with tifffile.TiffFile("out.tif") as tiff:
        assert len(tiff.pages) == 3
        for page in tiff.pages:
            assert page.tags[33922].value == (-6.0, -6.0, 0.0, 500.0, 400.0, 0.0)
            assert page.tags[33550].value == (2.0, 2.0, 0.0)
            assert page.iccprofile == b"p" * 200
    check(pictures.filter(stack[1], BLUR), "--page", "2")
    with tifffile.TiffFile("out.tif") as tiff:
        assert "images" not in tiff.pages[0].description
    assert convert("in.tif", "out.tif", "--page", "4") == 2


def test_colours_of_a_jpeg_in_a_tiff(capsys):
    smooth = np.stack(np.broadcast_arrays(*np.indices((150, 210)), 90), axis=2).astype(np.uint8)
    tifffile.imwrite("in.tif", smooth, photometric="ycbcr", compression="jpeg", tile=(64, 64), subsampling=(2, 2))
    check(pictures.filter(tifffile.imread("in.tif"), BLUR))
    assert "210 x 150 RGB uint8, in parts" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_smaller_versions_in_a_file_are_left_out(dtype, monkeypatch):
    pixels = BYTES.astype(dtype)
    with tifffile.TiffWriter("in.tif") as tiff:
        for step in (1, 2, 4):
            tiff.write(pixels[::step, ::step], photometric="rgb", tile=(64, 64), subfiletype=int(step > 1))
    expect = pictures.filter(pixels, BLUR)
    check(expect)
    monkeypatch.setattr(large_tiffs, "LARGEST_WHOLE", 1 << 30)
    check(expect)
    assert convert("in.tif", "out.tif", "--page", "2") == 2


@pytest.mark.parametrize("largest", [1 << 10, 1 << 30])
def test_pages_of_different_types(largest, monkeypatch):
    monkeypatch.setattr(large_tiffs, "LARGEST_WHOLE", largest)
    with tifffile.TiffWriter("in.tif") as tiff:
        for pixels in (BYTES, BYTES.astype(np.float64) / 7):
            tiff.write(pixels, photometric="rgb")
    assert convert("in.tif", "out.tif") == 0
    blur = kernels.gaussian(sigma=1.5, dtype="float64")
    np.testing.assert_array_equal(tifffile.imread("out.tif", key=0), pictures.filter(BYTES, BLUR))
    np.testing.assert_array_equal(tifffile.imread("out.tif", key=1), pictures.filter(BYTES.astype(float) / 7, blur))


def test_segments_that_are_not_stored_are_0():
    pixels = BYTES[..., 0].copy()
    pixels[64:128, 64:128] = 0
    empty = (
        None if (i, j) == (64, 64) else np.pad(tile, ((0, 64 - tile.shape[0]), (0, 64 - tile.shape[1])))
        for i in range(0, 150, 64)
        for j in range(0, 210, 64)
        for tile in [pixels[i : i + 64, j : j + 64]]
    )
    layout = {"shape": pixels.shape, "dtype": np.uint8, "tile": (64, 64), "compression": "deflate"}
    tifffile.imwrite("in.tif", empty, photometric="minisblack", **layout)
    check(pictures.filter(pixels, BLUR))


def test_others_are_converted_as_a_whole(capsys, monkeypatch):
    turned = np.moveaxis(BYTES, 0, 1)
    tifffile.imwrite("in.tif", turned, photometric="rgb", extratags=[(274, 3, 1, 5, True)])
    check(pictures.filter(BYTES, BLUR))
    # One compressed strip, which must be decoded as a whole.
    tifffile.imwrite("strip.tif", BYTES, photometric="rgb", compression="deflate", rowsperstrip=150)
    monkeypatch.setattr(large_tiffs, "LARGEST_SEGMENT", 1 << 10)
    check(pictures.filter(BYTES, BLUR), source="strip.tif")
    assert "in parts" not in capsys.readouterr().out
    monkeypatch.setattr(large_tiffs, "memory", lambda: 90_000)
    assert convert("strip.tif", "out2.tif") == 2
    error = capsys.readouterr().err
    assert "strip.tif: does not fit into memory, and cannot be read in parts, as it has strips or tiles of" in error
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert convert("strip.tif", "out2.tif") == 2
    assert (
        "strip.tif: does not fit into memory; pip install 'fastconv[files]' reads it in parts"
        in capsys.readouterr().err
    )
    assert not os.path.exists("out2.tif")


def test_errors_leave_no_files(capsys):
    tifffile.imwrite("in.tif", BYTES, photometric="rgb", tile=(64, 64), compression="deflate")
    tifffile.imwrite("short.tif", BYTES, photometric="rgb", rowsperstrip=10)
    with open("in.tif", "r+b") as file:
        file.seek(4000)
        file.write(b"\xff" * 9000)
    with open("short.tif", "r+b") as file:
        file.truncate(os.path.getsize("short.tif") - 40_000)
    before = sorted(os.listdir())
    for name in ("in.tif", "short.tif"):
        assert convert(name, "out.tif") == 2
        error = capsys.readouterr().err
        assert f"{name}: broken picture" in error
        assert error.count("\n") == 1
        assert sorted(os.listdir()) == before
    assert convert("short.tif", "out.tif", "--max-pixels", "1000") == 2
    assert "too many pixels" in capsys.readouterr().err
    with open("out.tif", "w"):
        pass
    assert main(["in.tif", "out.tif", "--kernel", "box"]) == 2
    assert "out.tif: already exists" in capsys.readouterr().err


def test_an_interrupt_leaves_no_files():
    tifffile.imwrite("in.tif", BYTES, photometric="rgb")
    interrupts.leaves_no_files(lambda: convert("in.tif", "out.tif"))


def test_many_files():
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(name, BYTES, photometric="rgb")
    assert convert("a.tif", "b.tif", "out/") == 0
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(tifffile.imread(f"out/{name}"), pictures.filter(BYTES, BLUR))


# Run the command that is given, and print its exit status and the kilobytes that it took at most.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, flush=True)
os._exit(0)  # without a warning about the process that has been waited for
"""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the memory of a process is measured by wait4")
def test_memory_is_bounded():
    side = 14_000  # 588 MB of pixels, all of which are one row
    row = np.arange(side * 3, dtype=np.uint8).reshape(1, side, 3) // 2
    with open("in.tif", "wb") as file:
        strip = bytes(imagecodecs.zstd_encode(np.repeat(row, 500, 0)))
        strips = (strip for _ in range(side // 500))
        layout = {"shape": (side, side, 3), "dtype": np.uint8, "rowsperstrip": 500, "compression": "zstd"}
        tifffile.imwrite(file, strips, photometric="rgb", **layout)
    command = [sys.executable, "-m", "fastconv", "in.tif", "out.tif", "--kernel", "box", "--max-pixels", "0"]
    parent = [sys.executable, "-c", MEASURE, *command]
    status, kilobytes = subprocess.run(parent, stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    assert status == "0"
    assert int(kilobytes) * 1024 < 450e6
    expect = pictures.filter(np.repeat(row, 3, 0), kernels.box())[1]
    with tifffile.TiffFile("out.tif") as tiff:
        page = tiff.pages[0]
        assert page.shape == (side, side, 3)
        for number, offset in enumerate(page.dataoffsets):
            if number % 997 == 0:
                tiff.filehandle.seek(offset)
                content = tiff.filehandle.read(page.databytecounts[number])
                np.testing.assert_array_equal(page.decode(content, number)[0][0, 0], expect)
