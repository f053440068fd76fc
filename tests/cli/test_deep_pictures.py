"""The command `fastconv` with pictures that Pillow would read in part: 16 bits per colour, and others."""

import io
import os
import struct
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli import large_tiffs, tiff_tags, tiff_writing
from fastconv.cli.entry import main
from fastconv.cli.raster import Kind

RNG = np.random.default_rng(5)
BOX = kernels.box()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RGB, RGBA = (RNG.integers(0, 65536, (20, 30, count), dtype=np.uint16) for count in (3, 4))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def samples_of(path):
    with open(path, "rb") as file:
        content = file.read()
    return imagecodecs.png_decode(content) if path.endswith(".png") else tifffile.imread(io.BytesIO(content))


def convert(*arguments, kernel="box"):
    return main([*arguments, "--kernel", kernel, "--force"])


def error_of(capsys, *arguments):
    """The line on stderr of a command that fails, and leaves no file."""
    before = sorted(os.listdir())
    assert convert(*arguments) == 2
    assert sorted(os.listdir()) == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


TIFFS = [
    {},
    {"byteorder": ">"},
    {"byteorder": ">", "bigtiff": True, "compression": "deflate", "predictor": True, "tile": (16, 16)},
    {"byteorder": "<", "bigtiff": True, "rowsperstrip": 3},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
    {"compression": "zstd", "planarconfig": "separate"},
    {"byteorder": ">", "compression": "packbits"},
]


@pytest.mark.parametrize("layout", TIFFS, ids=str)
@pytest.mark.parametrize("pixels", [RGB, RGBA], ids=["RGB", "RGBA"])
def test_16_bits_per_colour_of_a_tiff_stay_with_its_metadata(pixels, layout):
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in layout else pixels
    extra = ["unassalpha"] if pixels.shape[2] == 4 else None
    about = {"iccprofile": PROFILE, "resolution": (300, 200), "resolutionunit": "INCH", "description": "hello"}
    tifffile.imwrite("in.tif", stored, photometric="rgb", extrasamples=extra, metadata=None, **about, **layout)
    expect = pictures.filter(pixels, BOX, alpha_channel=-1 if extra else None)
    for target in ("out.tif", "out.png"):
        assert convert("in.tif", target) == 0
        found = samples_of(target)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, expect)
    with Image.open("out.png") as image:
        assert (image.info["icc_profile"], image.getexif()[270]) == (PROFILE, "hello")
        assert image.info["dpi"] == pytest.approx((300, 200), abs=0.02)
    with tifffile.TiffFile("out.tif") as tiff:
        page = tiff.pages[0]
        assert (page.iccprofile, page.tags[270].value, page.tags[282].value) == (PROFILE, "hello", (300, 1))
        with tifffile.TiffFile("in.tif") as before:
            lossless = before.pages[0].compression.name.replace("PACKBITS", "ADOBE_DEFLATE")
            assert (page.compression.name, page.predictor) == (lossless, before.pages[0].predictor)
    with Image.open("out.tif") as image:  # libtiff reads it too
        image.load()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bits_per_colour_of_a_png_stay_with_its_metadata(channels):
    pixels = RGBA[..., :channels]
    exif = Image.Exif()
    exif[0x8769], exif[0x8825] = {0x9003: "2024:01:02 03:04:05"}, {1: "N"}
    stand_in = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stand_in, "PNG", exif=exif, icc_profile=PROFILE, dpi=(120, 120))
    content, chunks = imagecodecs.png_encode(np.ascontiguousarray(pixels)), stand_in.getvalue()
    with open("in.png", "wb") as file:
        file.write(content[:33] + chunks[33 : chunks.index(b"IDAT") - 4] + content[33:])
    expect = pictures.filter(pixels, BOX, alpha_channel=-1 if channels != 3 else None)
    for target in ("out.png", "out.tif"):
        assert convert("in.png", target) == 0
        np.testing.assert_array_equal(samples_of(target), expect)
        if target == "out.tif" and channels == 2:
            continue  # Pillow cannot read it
        with Image.open(target) as image:
            found = image.getexif()
            assert found.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
            assert found.get_ifd(0x8825)[1] == "N"
            assert image.info["icc_profile"] == PROFILE
            assert image.info["dpi"] == pytest.approx((120, 120), abs=0.02)


def test_linear_light_of_16_bits():
    board = np.repeat((np.indices((20, 20)).sum(0) % 2 * 65535).astype(np.uint16)[..., np.newaxis], 3, 2)
    tifffile.imwrite("in.tif", board, photometric="rgb", byteorder=">")
    options = ["--kernel", "1 1; 1 1", "--scale", "4", "--boundary", "wrap", "--linear"]
    for target in ("out.png", "out.tif"):
        assert main(["in.tif", target, *options]) == 0
        assert np.unique(samples_of(target)).tolist() == [48192]  # 188 of 255
    tifffile.imwrite("ink.tif", RGBA, photometric="separated")
    assert main(["ink.tif", "ink-out.tif", *options]) == 2


def test_alpha_options_and_comparisons():
    tifffile.imwrite("in.tif", RGBA, photometric="rgb", extrasamples=["unassalpha"])
    assert convert("in.tif", "out.png", "--alpha", "keep", "--mode", "valid", "--compare") == 0
    both = samples_of("out.png")
    np.testing.assert_array_equal(both[:, :30], RGBA)
    expect = pictures.filter(RGBA, BOX, alpha="keep", alpha_channel=-1, mode="valid")
    np.testing.assert_array_equal(both[1:-1, 31:], expect)
    assert not both[0, 30:].any()


def test_colours_multiplied_by_alpha_are_divided():
    whole = np.full((4, 5, 4), 40000, np.uint16)
    whole[..., 3] = 32768
    whole[0, 0] = 0
    stored = whole.copy()
    stored[..., :3] = np.rint(whole[..., :3] * (whole[..., 3:] / 65535))
    tifffile.imwrite("in.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert convert("in.tif", "out.png", kernel="identity") == 0
    np.testing.assert_allclose(samples_of("out.png").astype(int), whole, atol=1)


SIBLINGS = {
    "64-bit floats": (RNG.random((20, 30)), {}),
    "16-bit floats": (RNG.random((20, 30)).astype(np.float16), {}),
    "colours of floats": (RNG.random((20, 30, 3), np.float32), {"photometric": "rgb"}),
    "32 bits, unsigned": (RNG.integers(2**31, 2**32, (20, 30), np.uint32), {}),
    "8 bits, signed": (RNG.integers(-128, 128, (20, 30), np.int8), {}),
    "16 bits of CMYK": (RGBA, {"photometric": "separated"}),
    "five channels": (RNG.integers(0, 65536, (20, 30, 5), np.uint16), {"photometric": "rgb"}),
}


@pytest.mark.parametrize("kind", SIBLINGS)
def test_no_bit_is_lost_of_other_tiffs(kind, capsys):
    pixels, options = SIBLINGS[kind]
    tifffile.imwrite("in.tif", pixels, byteorder=">", metadata=None, **options)
    assert convert("in.tif", "out.tif", kernel="identity") == 0
    found = samples_of("out.tif")
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)
    assert "TIFF can" in error_of(capsys, "in.tif", "out.png")


def test_palettes_of_16_bits_white_as_0_and_12_bits():
    index, palette = RNG.integers(0, 256, (20, 30), np.uint8), RNG.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite("palette.tif", index, photometric="palette", colormap=palette)
    assert convert("palette.tif", "out.png", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("out.png"), palette.T[index])
    tifffile.imwrite("inverse.tif", RGB[..., 0], photometric="miniswhite")
    assert convert("inverse.tif", "out.tif", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("out.tif"), 65535 - RGB[..., 0])
    # As 8 bits, where nothing is lost.
    exact = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite("exact.tif", index, photometric="palette", colormap=exact)
    assert convert("exact.tif", "out.png", kernel="identity") == 0
    assert samples_of("out.png").dtype == np.uint8
    few = RGB >> 4
    bits = np.unpackbits(few.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    packed = iter([np.packbits(bits).tobytes()])
    layout = {"shape": few.shape, "dtype": few.dtype, "bitspersample": 12, "photometric": "rgb", "rowsperstrip": 20}
    tifffile.imwrite("twelve.tif", packed, metadata=None, **layout)
    assert convert("twelve.tif", "out.png", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("out.png"), few)


def test_other_formats():
    content = RGB.astype(">u2").tobytes()
    with open("in.ppm", "wb") as file:
        file.write(b"P6 # a comment\n30 20\n65535\n" + content)
    for target in ("out.png", "out.tif"):
        assert convert("in.ppm", target, kernel="identity") == 0
        np.testing.assert_array_equal(samples_of(target), RGB)
    assert convert("in.ppm", "out.ppm", kernel="identity") == 0
    with open("out.ppm", "rb") as file:
        assert file.read() == b"P6\n30 20\n65535\n" + content
    with open("in.jp2", "wb") as file:
        file.write(imagecodecs.jpeg2k_encode(RGB, level=0))
    assert convert("in.jp2", "out.png", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("out.png"), RGB)


def test_what_cannot_be_kept_is_refused(capsys):
    tifffile.imwrite("in.tif", RGB, photometric="rgb")
    for target in ("out.jpg", "out.webp", "out.jp2"):
        assert "has more than 8 bits (RGB uint16), which" in error_of(capsys, "in.tif", target)
    tifffile.imwrite("lab.tif", RGB, photometric="cielab")
    assert "lab.tif: its colours, CIELAB, cannot be filtered" in error_of(capsys, "lab.tif", "out.tif")
    with open("deep.avif", "wb") as file:
        file.write(imagecodecs.avif_encode(RGB >> 6, bitspersample=10))
    assert "deep.avif: has 10 bits per colour" in error_of(capsys, "deep.avif", "out.png")
    tifffile.imwrite("complex.tif", RGB[..., 0].astype(np.complex64))
    assert "complex.tif: its samples, complex64, cannot be filtered" in error_of(capsys, "complex.tif", "out.tif")
    assert "too many pixels" in error_of(capsys, "lab.tif", "out.tif", "--max-pixels", "599")
    tifffile.imwrite("few.tif", RGB, photometric="rgb", rowsperstrip=5)
    with open("few.tif", "r+b") as file, tifffile.TiffFile(file) as tiff:
        file.seek(tiff.pages[0].tags[257].valueoffset)  # the height
        file.write(struct.pack("<H", 3000))
    assert "few.tif: it has 4 strips or tiles instead of 600" in error_of(capsys, "few.tif", "out.tif")
    with open("in.tif", "r+b") as file:
        file.truncate(2000)
    assert "in.tif: broken picture" in error_of(capsys, "in.tif", "out.tif")


def test_without_the_extra_they_are_refused(capsys, monkeypatch):
    tifffile.imwrite("in.tif", RGB, photometric="rgb")
    tifffile.imwrite("floats.tif", RGB.astype(np.float32), photometric="rgb")
    with open("in.png", "wb") as file:
        file.write(imagecodecs.png_encode(RGB))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for source, target in (("in.tif", "out.tif"), ("in.png", "out.png"), ("floats.tif", "out.tif")):
        assert "pip install 'fastconv[files]'" in error_of(capsys, source, target)


def test_pages():
    stack = RNG.integers(0, 65536, (3, 20, 30, 3), np.uint16)
    tifffile.imwrite("in.tif", stack, photometric="rgb", description="ImageJ=1.11a\nimages=3\n", metadata=None)
    assert convert("in.tif", "out.tif") == 0
    np.testing.assert_array_equal(samples_of("out.tif"), [pictures.filter(page, BOX) for page in stack])
    assert convert("in.tif", "out.png", "--page", "2") == 0
    np.testing.assert_array_equal(samples_of("out.png"), pictures.filter(stack[1], BOX))
    assert convert("in.tif", "one.tif", "--page", "3") == 0
    with tifffile.TiffFile("one.tif") as tiff:
        assert "images" not in tiff.pages[0].description
    assert convert("in.tif", "one.tif", "--page", "4") == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation):
    tifffile.imwrite("in.tif", RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    Image.fromarray((RGB >> 8).astype(np.uint8)).save("small.tif", tiffinfo={274: orientation})
    for name in ("in", "small"):
        assert convert(f"{name}.tif", f"{name}.png", kernel="sobel-x") == 0
    same = samples_of("in.png").shape == samples_of("small.png").shape
    assert same
    assert convert("in.tif", "turned.png", kernel="identity") == 0
    assert convert("small.tif", "turned-small.png", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("turned.png") >> 8, samples_of("turned-small.png"))


def test_missing_pixels_of_16_bits():
    holes = RGB.copy()
    holes[3:9, 4:15] = 7
    tifffile.imwrite("in.tif", holes, photometric="rgb", extratags=[(42113, "s", 0, "7", True)])
    known = ~(holes == 7).all(axis=2)
    mask = np.full((20, 30), 255, np.uint8)
    mask[15:] = 0
    Image.fromarray(mask).save("mask.png")
    for value in ("7", "tag"):
        assert convert("in.tif", "out.png", "--nodata", value) == 0
        np.testing.assert_array_equal(
            samples_of("out.png"), pictures.filter(holes, BOX, weights=known, missing_value=7)
        )
    assert convert("in.tif", "out.tif", "--nodata", "7", "--mask", "mask.png") == 0
    expect = pictures.filter(holes, BOX, weights=known * (mask / np.float32(255)), missing_value=7)
    np.testing.assert_array_equal(samples_of("out.tif"), expect)


def test_big_endian_grey_becomes_a_png_of_the_same_numbers():
    for order in "<>":
        tifffile.imwrite("in.tif", RGB[..., 0], byteorder=order)
        assert convert("in.tif", "out.png", kernel="identity") == 0
        np.testing.assert_array_equal(samples_of("out.png"), RGB[..., 0])
    with open("in.pgm", "wb") as file:
        file.write(b"P5 30 20 65535\n" + RGB[..., 0].astype(">u2").tobytes())
    assert convert("in.pgm", "out.png", kernel="identity") == 0
    np.testing.assert_array_equal(samples_of("out.png"), RGB[..., 0])


GEO = {
    33550: (2.0, 3.0, 0.0),
    33922: (0.0, 0.0, 0.0, 500000.0, 4000000.0, 0.0),
    34735: (1, 1, 0, 1, 1025, 0, 1, 1),
    34736: (298.25, 6378137.0),
    34737: "WGS 84|",
    42112: "<GDALMetadata></GDALMetadata>",
    42113: "-9999",
}
MATRIX = (2.0, 0.5, 0.0, 100.0, 0.25, -3.0, 0.0, 200.0, 0.0, 0.0, 1.0, 5.0, 0.0, 0.0, 0.0, 1.0)


def write_map(path, tags):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for code, value in tags.items():
        info[code] = value
        info.tagtype[code] = {int: 3, float: 12, str: 2}[type(value[0])]
    Image.fromarray(RNG.integers(0, 256, (20, 30), np.uint8)).save(path, tiffinfo=info)


@pytest.mark.parametrize("mode", ["same", "valid", "full"])
def test_geographic_tags_follow_the_mode(mode):
    write_map("in.tif", GEO)
    write_map("matrix.tif", {34264: MATRIX, 34735: GEO[34735]})
    first = {"same": (0, 0), "valid": (1, 2), "full": (-1, -2)}[mode]  # row and column, of a kernel of 3 x 5
    for name in ("in", "matrix"):
        assert main([f"{name}.tif", f"{name}-out.tif", "--kernel", "box", "--size", "3,5", "--mode", mode]) == 0
    with Image.open("in-out.tif") as image:
        tags = image.tag_v2
        for code in GEO.keys() - {33922}:
            assert tags[code] == GEO[code], code
        assert tags[33922] == (-first[1], -first[0], 0.0, 500000.0, 4000000.0, 0.0)
    with Image.open("matrix-out.tif") as image:
        found = np.array(image.tag_v2[34264]).reshape(4, 4)
    corner = np.array(MATRIX).reshape(4, 4) @ [first[1], first[0], 0, 1]
    np.testing.assert_allclose(found @ [0, 0, 0, 1], corner)
    np.testing.assert_array_equal(found[:3, :3], np.array(MATRIX).reshape(4, 4)[:3, :3])


def test_8_bits_of_a_tiff_that_pillow_cannot_read():
    small = (RGBA >> 8).astype(np.uint8)
    big = {"byteorder": ">", "bigtiff": True, "metadata": None}
    for channels, photometric in ((3, "rgb"), (4, "separated")):
        tifffile.imwrite("in.tif", small[..., :channels], photometric=photometric, description="hello", **big)
        assert convert("in.tif", "out.jpg") == 0
        assert convert("in.tif", "out.tif") == 0
        expect = pictures.filter(small[..., :channels], BOX)
        np.testing.assert_array_equal(samples_of("out.tif"), expect)
        with Image.open("out.jpg") as image:
            assert (image.mode, image.getexif()[270]) == ("RGB" if channels == 3 else "CMYK", "hello")
    mask = np.full((20, 30), 255, np.uint8)
    mask[:5] = 0
    tifffile.imwrite("mask.tif", mask, **big)
    Image.fromarray(mask).save("mask.png")
    for name in ("mask.tif", "mask.png"):
        assert convert("in.tif", f"{name}.tif", "--mask", name) == 0
    np.testing.assert_array_equal(samples_of("mask.tif.tif"), samples_of("mask.png.tif"))


def test_channels_beside_the_colours(capsys, monkeypatch):
    pixels = (RGBA >> 8).astype(np.uint8)
    tifffile.imwrite("in.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    assert convert("in.tif", "out.tif") == 0
    np.testing.assert_array_equal(samples_of("out.tif"), pictures.filter(pixels, BOX))
    assert "note" not in capsys.readouterr().err
    assert convert("in.tif", "out.png") == 0
    assert "note: in.tif: channels that are neither colours nor alpha are left out" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert convert("in.tif", "out.tif") == 0
    assert "note: in.tif: channels that are neither colours nor alpha are left out" in capsys.readouterr().err
    np.testing.assert_array_equal(tifffile.imread("out.tif"), pictures.filter(pixels[..., :3], BOX))


def test_xmp_and_pages_of_different_depths():
    xmp = b"<x:xmpmeta/>"
    with tifffile.TiffWriter("in.tif") as tiff:
        tiff.write((RGB >> 8).astype(np.uint8), photometric="rgb", extratags=[(700, 1, len(xmp), xmp, True)])
        tiff.write(RGB, photometric="rgb")
    assert convert("in.tif", "out.tif") == 0
    with tifffile.TiffFile("out.tif") as tiff:
        assert bytes(tiff.pages[0].tags[700].value) == xmp
        for page, pixels in zip(tiff.pages, ((RGB >> 8).astype(np.uint8), RGB)):
            np.testing.assert_array_equal(page.asarray(), pictures.filter(pixels, BOX))


def test_files_beyond_4_gigabytes_are_big_tiffs():
    exif = Image.Exif()
    exif[270], exif[0x8769] = "hello", {0x9003: "2024:01:02 03:04:05", 0x829A: 0.5}
    layout = tiff_writing.Layout(RGB.shape, Kind(RGB.dtype, "RGB"), 8, 2, (16, 16))
    with open("big.tif", "x+b") as file:
        writer = tiff_writing.TiffWriter(file, 2**33)
        for pixels in (RGB, RGB[::-1]):
            page = writer.page(layout, tiff_tags.of_exif(exif))
            for top in (16, 0):  # in any order
                page[top : top + 16, :] = pixels[top : top + 16]
            page.finish()
    with tifffile.TiffFile("big.tif") as tiff:
        assert (tiff.is_bigtiff, len(tiff.pages), tiff.pages[1].description) == (True, 2, "hello")
        assert tiff.pages[1].tags[0x8769].value["DateTimeOriginal"] == "2024:01:02 03:04:05"
        np.testing.assert_array_equal(tiff.asarray(key=1), RGB[::-1])
    with open("big.tif", "rb") as file, tifffile.TiffFile(file) as tiff:
        found = tiff_tags.as_exif(tiff_tags.read(file, tiff.pages[1].offset, "<", True, {324, 325}))
    assert found.get_ifd(0x8769) == {0x9003: "2024:01:02 03:04:05", 0x829A: 0.5}


def test_damaged_tags_are_left_out():
    # At an offset that lies nowhere, within itself, and of a length that no tag has.
    damaged = ((0x8769, 4, 1, 0xFFFFFF00), (0x8825, 4, 1, 8), (700, 1, 2**31, 0))
    entries = b"".join(struct.pack("<HHII", *entry) for entry in damaged)
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + entries + bytes(4)
    found = tiff_tags.read(io.BytesIO(content), 8, "<", False)
    assert [(one.code, one.directory) for one in found] == [(0x8825, ())]


@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
@pytest.mark.parametrize("dtype", ["f4", "i4", "i2", "u2", "u4"])
def test_grey_samples_in_either_byte_order(dtype, compression):
    pixels = RNG.integers(0, 30_000, (9, 11)).astype(dtype)
    for order in "<>":
        tifffile.imwrite("in.tif", pixels, byteorder=order, compression=compression)
        assert convert("in.tif", "out.tif") == 0
        found = samples_of("out.tif")
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pictures.filter(pixels, BOX))


def test_signed_samples_saturate():
    tifffile.imwrite("in.tif", np.array([[32767, -32768] * 4] * 4, np.int16))
    assert convert("in.tif", "out.tif", kernel="0 0 0; 0 3 0; 0 0 0") == 0
    np.testing.assert_array_equal(samples_of("out.tif"), [[32767, -32768] * 4] * 4)


@pytest.mark.parametrize("alpha", ["keep", "filter"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_without_alpha_have_none_to_keep_or_to_filter(alpha, dtype, monkeypatch):
    tifffile.imwrite("in.tif", RGB.astype(dtype), photometric="rgb")
    for largest in (large_tiffs.LARGEST_WHOLE, 0):
        monkeypatch.setattr(large_tiffs, "LARGEST_WHOLE", largest)
        assert convert("in.tif", "out.tif", "--alpha", alpha) == 0
        np.testing.assert_array_equal(samples_of("out.tif"), pictures.filter(RGB.astype(dtype), BOX))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("meaning", ["unassalpha", "unspecified"])
def test_grey_and_another_channel_in_separate_planes(meaning, compression):
    planes = RNG.integers(0, 256, (2, 9, 11)).astype(np.uint8)
    layout = {"photometric": "minisblack", "planarconfig": "separate", "extrasamples": [meaning]}
    tifffile.imwrite("in.tif", planes, compression=compression, **layout)
    assert convert("in.tif", "out.tif", "--alpha", "keep", kernel="0 0 0; 0 1 0; 0 0 0") == 0
    np.testing.assert_array_equal(np.squeeze(samples_of("out.tif")), np.moveaxis(planes, 0, -1))
