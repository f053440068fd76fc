"""Reading and writing of picture files: modes, metadata, atomic writes."""

import io
import os
import stat
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli import picture_formats, picture_metadata, picture_reading, picture_writing
from fastconv.cli.picture_pages import Page


def load(source, target=None):
    """Read the first picture of a file."""
    return next(picture_reading.load_pages(source, target))


def random_pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_load_applies_the_exif_orientation(tmp_path):
    image = Image.fromarray(random_pixels(6, 7, 3))
    exif = image.getexif()
    exif[0x0112] = 6  # orientation 6: rotate by 270 degrees to display
    image.save(tmp_path / "turned.png", exif=exif)
    loaded = load(tmp_path / "turned.png").page.image
    np.testing.assert_array_equal(np.asarray(loaded), np.rot90(np.asarray(image), 3))
    assert 0x0112 not in loaded.getexif()


@pytest.mark.parametrize(
    ("mode", "name", "options", "target", "expected"),
    [
        ("1", "a.png", {}, "PNG", "1"),
        ("1", "a.png", {"transparency": 0}, "PNG", "LA"),
        ("L", "a.png", {}, "PNG", "L"),
        ("L", "a.png", {"transparency": 3}, "PNG", "LA"),
        ("L", "a.png", {"transparency": 3}, "GIF", "RGBA"),
        ("P", "a.png", {}, "PNG", "RGB"),
        ("P", "a.gif", {"transparency": 0}, "PNG", "RGBA"),
        ("RGB", "a.png", {"transparency": (0, 0, 0)}, "PNG", "RGBA"),
        ("RGBA", "a.png", {}, "PNG", "RGBA"),
        ("LAB", "a.tif", {"icc_profile": b"not for RGB"}, "TIFF", "RGB"),
        ("CMYK", "a.jpg", {"icc_profile": b"not for RGB"}, "PNG", "RGB"),
        ("CMYK", "a.jpg", {}, "JPEG", "CMYK"),
        ("CMYK", "a.jpg", {}, "TIFF", "CMYK"),
        ("YCbCr", "a.tif", {}, "TIFF", "YCbCr"),
        ("YCbCr", "a.tif", {"icc_profile": b"not for RGB"}, "PNG", "RGB"),
        ("I;16", "a.png", {}, "PNG", "I;16"),
        ("I;16", "a.tif", {}, "TIFF", "I;16"),
        ("I", "a.tif", {}, "TIFF", "I"),
        ("F", "a.tif", {}, "TIFF", "F"),
    ],
)
def test_load_converts_unsupported_modes(tmp_path, mode, name, options, target, expected):
    Image.new(mode, (5, 4)).save(tmp_path / name, **options)
    (loaded, metadata, _), notes = load(tmp_path / name, target)
    assert (loaded.mode, loaded.size) == (expected, (5, 4))
    assert notes == ()
    assert metadata.icc_profile is None
    result = pictures.filter(loaded, kernels.box())
    assert result.mode == expected
    with Image.open(io.BytesIO(picture_writing.encode([Page(result)], target))) as image:
        assert image.format == target


@pytest.mark.parametrize(
    ("mode", "expected"), [("PA", "RGBA"), ("RGBa", "RGBA"), ("La", "LA"), ("HSV", "RGB"), ("RGBX", "RGB")]
)
def test_load_converts_rare_modes(mode, expected):
    assert picture_reading.convertible(Image.new(mode, (5, 4)), picture_metadata.EMPTY, "PNG")[0].mode == expected


def test_load_narrows_a_16_bit_png_that_pillow_widened():
    wide = Image.new("I", (5, 4), 65535)
    narrow, _ = picture_reading.convertible(wide, picture_metadata.Metadata("PNG"), "PNG")
    assert (narrow.mode, narrow.getpixel((0, 0))) == ("I;16", 65535)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.tif"])
def test_load_reports_a_truncated_file(tmp_path, name):
    Image.fromarray(random_pixels(64, 64)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(OSError, match=r"broken picture \(.+\)|not a picture") as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_load_reports_files_that_are_not_pictures(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(OSError, match=r"a\.png: not a picture"):
        load(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "b.png")
    with pytest.raises(OSError, match=r"directory|denied"):
        load(tmp_path)
    (tmp_path / "c.png").touch()
    with pytest.raises(OSError, match=r"c\.png: not a picture"):
        load(tmp_path / "c.png")
    with pytest.raises(OSError, match="standard input: not a picture"):
        load(b"")
    with pytest.raises(OSError, match=f"{os.devnull}: is not a regular file"):
        load(os.devnull)


def test_load_reports_a_decompression_bomb(tmp_path, monkeypatch):
    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 49)
    with pytest.raises(OSError, match=r"a\.png: too many pixels \(more than 98\)"):
        load(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)
    with pytest.warns(Image.DecompressionBombWarning):
        assert load(tmp_path / "a.png").page.image.size == (10, 10)


@pytest.mark.parametrize(("name", "picture_format"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.d.tiff", "TIFF")])
def test_save_writes_the_format_of_the_extension(tmp_path, name, picture_format):
    picture_writing.save(Image.new("RGB", (5, 4), "red"), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == picture_format
        assert image.size == (5, 4)
    assert os.listdir(tmp_path) == [name]


def test_save_creates_files_with_default_permissions(tmp_path):
    picture_writing.save(Image.new("L", (5, 4)), tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.png", "b.png")]
    assert modes[0] == modes[1]


def test_save_keeps_the_permissions_of_a_replaced_file(tmp_path):
    target = tmp_path / "a.png"
    target.touch()
    target.chmod(0o600)
    picture_writing.save(Image.new("L", (5, 4)), target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("links", [True, False])
def test_writer_without_force_keeps_a_file_created_meanwhile(tmp_path, monkeypatch, links):
    def no_links(*args):
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    writer = picture_writing.Writer(force=False)
    writer.save([Page(Image.new("L", (5, 4), 7))], tmp_path / "a.png")
    real = Image.Image.save

    def late(self, *args, **kwargs):
        real(self, *args, **kwargs)
        (tmp_path / "b.png").write_bytes(b"late")

    monkeypatch.setattr(Image.Image, "save", late)
    with pytest.raises(OSError, match=r"b\.png: already exists; --force replaces it"):
        writer.save([Page(Image.new("L", (5, 4)))], tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == b"late"
    with pytest.raises(OSError, match=r"a\.png: already exists; --force replaces it"):
        writer.save([Page(Image.new("L", (5, 4)))], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.getpixel((0, 0)) == 7
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_abandoned_writer_leaves_no_files(tmp_path, monkeypatch):
    writer = picture_writing.Writer(force=False)
    real = Image.Image.save

    def interrupted(self, *args, **kwargs):
        real(self, *args, **kwargs)
        assert len(os.listdir(tmp_path)) == 1
        writer.abandon()
        assert os.name != "posix" or os.listdir(tmp_path) == []

    monkeypatch.setattr(Image.Image, "save", interrupted)
    for _ in range(2):  # the second save does not start
        with pytest.raises(OSError, match="interrupted"):
            writer.save([Page(Image.new("L", (5, 4)))], tmp_path / "a.png")
        assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
def test_save_follows_a_symbolic_link(tmp_path):
    (tmp_path / "link.png").symlink_to("there.png")
    picture_writing.save(Image.new("L", (5, 4)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    with Image.open(tmp_path / "there.png") as image:
        assert image.size == (5, 4)


def test_check_target_rejects_impossible_targets(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, error, message in (
        ("a.xyz", ValueError, r"no format can be written for the extension '\.xyz'"),
        ("a", ValueError, "no format can be written for the extension ''"),
        ("folder.png", OSError, "is a folder"),
        (os.path.join("none", "a.png"), OSError, "no such folder:"),
    ):
        with pytest.raises(error, match=message):
            picture_writing.check_target(tmp_path / name)
        with pytest.raises(error, match=message):
            picture_writing.save(Image.new("L", (2, 2)), tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.png"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyError("odd"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, b"old content"])
def test_failed_save_leaves_the_folder_unchanged(tmp_path, monkeypatch, failure, before):
    target = tmp_path / "a.png"
    if before is not None:
        target.write_bytes(before)

    def fail(self, file, *args, **kwargs):
        file.write(b"half of a picture")
        file.flush()
        assert len(os.listdir(tmp_path)) == (1 if before is None else 2)  # the temporary file is in this folder
        raise failure

    monkeypatch.setattr(Image.Image, "save", fail)
    expected, message = (KeyboardInterrupt, None) if isinstance(failure, KeyboardInterrupt) else (OSError, "a.png: ")
    with pytest.raises(expected, match=message) as caught:
        picture_writing.save(Image.new("L", (2, 2)), target)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{target}: cannot be written (No space left on device)"
    assert os.listdir(tmp_path) == ([] if before is None else ["a.png"])
    assert before is None or target.read_bytes() == before


def test_save_reports_a_mode_that_the_format_cannot_hold(tmp_path):
    with pytest.raises(OSError, match=r"a\.jpg: cannot be written \(cannot write mode RGBA as JPEG\)"):
        picture_writing.save(Image.new("RGBA", (2, 2)), tmp_path / "a.jpg")
    assert os.listdir(tmp_path) == []


# Metadata


EXIF = {0x010F: "a maker", 0x0131: "a program", 0x9C9B: b"t\0"}


def with_exif(image, more=()):
    exif = image.getexif()
    exif.update(EXIF)
    exif[0x8769] = {0x9003: "2024:02:03 04:05:06", 0xA002: 70, 0xA003: 60, 0xA005: {1: "R98"}}
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.5)}
    exif.update(more)
    return exif.tobytes()


def rewritten(source, target):
    """Read a picture, write it to `target`, and open that."""
    picture = load(source, picture_writing.check_target(target))
    picture.page.image.info = {}
    picture_writing.Writer(force=True).save([picture.page], target)
    return Image.open(target)


@pytest.mark.parametrize("target", ["b.jpg", "b.png", "b.webp", "b.tif"])
@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_keeps_exif_profile_and_resolution(tmp_path, source, target):
    image = Image.fromarray(random_pixels(6, 7, 3))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / source, exif=with_exif(image, more={0x0112: 6}), icc_profile=profile, dpi=(300, 150))
    with rewritten(tmp_path / source, tmp_path / target) as result:
        assert result.size == (6, 7)
        exif = result.getexif()
        assert {tag: exif[tag] for tag in EXIF} == EXIF
        assert 0x0112 not in exif
        part = exif.get_ifd(0x8769)
        assert (part[0x9003], part[0xA002], part[0xA003]) == ("2024:02:03 04:05:06", 6, 7)
        assert exif.get_ifd(0x8825) == {1: "N", 2: (52.0, 30.0, 0.5)}
        assert result.info["icc_profile"] == profile
        if not (source == "a.webp" or target == "b.webp"):  # the format cannot store it
            assert result.info["dpi"] == pytest.approx((150, 300), abs=0.1)


@pytest.mark.parametrize("target", ["b.jpg", "b.png", "b.webp", "b.tif"])
@pytest.mark.parametrize("source", ["a.jpg", "a.webp", "a.tif"])
def test_keeps_xmp_without_the_orientation(tmp_path, source, target):
    image = Image.new("RGB", (5, 4))
    if source == "a.tif":
        exif = image.getexif()
        exif[700] = b"<x>\xc3\xab</x>"
        image.save(tmp_path / source, exif=exif)
    else:
        image.save(tmp_path / source, xmp=b"<x>\xc3\xab<tiff:Orientation>6</tiff:Orientation></x>")
    with rewritten(tmp_path / source, tmp_path / target) as result:
        assert result.info["xmp"] == b"<x>\xc3\xab</x>"


def test_drops_damaged_exif(tmp_path):
    image = Image.new("L", (5, 4))
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x0f\x01\x03\0\xff\xff\xff\xff" * 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rewritten(tmp_path / "a.jpg", tmp_path / "b.png") as result:
            assert not len(result.getexif())


def test_drops_tags_of_the_pixel_layout(tmp_path):
    image = Image.fromarray(random_pixels(60, 70, 3))
    exif = image.getexif()
    exif.update(EXIF)
    image.save(tmp_path / "a.tif", compression="tiff_lzw", exif=exif)
    with rewritten(tmp_path / "a.tif", tmp_path / "b.jpg") as result:
        assert not set(result.getexif()) & {256, 257, 258, 259, 262, 273, 277, 278, 279, 284}
        assert result.getexif()[0x010F] == "a maker"
    with rewritten(tmp_path / "a.tif", tmp_path / "b.tif") as result:
        assert result.info["compression"] == "tiff_lzw"
        assert result.tobytes() == image.tobytes()


def test_writes_a_tiff_with_camera_exif_uncompressed(tmp_path):
    with open(tmp_path / "a.tif", "wb") as file:
        file.write(exif_in_a_compressed_tiff())
    with Image.open(tmp_path / "a.tif") as before, rewritten(tmp_path / "a.tif", tmp_path / "b.tif") as result:
        assert (before.info["compression"], result.info["compression"]) == ("tiff_adobe_deflate", "raw")
        assert result.getexif().get_ifd(0x8769) == {0x9003: "2024:02:03 04:05:06"}
        assert result.tobytes() == before.tobytes()


def exif_in_a_compressed_tiff():
    """Build a TIFF that Pillow cannot write: 5 x 4 deflated pixels, and a date in the Exif IFD."""
    pixels, date = zlib.compress(bytes(range(20))), b"2024:02:03 04:05:06\0"
    tags = [(256, 3, 1, 5), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    start = 8 + 2 + 12 * 10 + 4
    tags += [
        (273, 4, 1, start),
        (277, 3, 1, 1),
        (278, 3, 1, 4),
        (279, 4, 1, len(pixels)),
        (0x8769, 4, 1, start + len(pixels)),
    ]
    after = start + len(pixels)
    part = struct.pack("<HHHIII", 1, 0x9003, 2, len(date), after + 18, 0) + date
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels + part


def test_keeps_the_compression_of_a_jpeg(tmp_path):
    image = Image.fromarray(random_pixels(64, 64, 3))
    image.save(tmp_path / "a.jpg", quality=37, subsampling="4:2:2", progressive=True, comment=b"said")
    with Image.open(tmp_path / "a.jpg") as before, rewritten(tmp_path / "a.jpg", tmp_path / "b.jpg") as after:
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == 1
        assert after.info["progressive"]
        assert after.info["comment"] == b"said"
    image.save(tmp_path / "a.png")
    with rewritten(tmp_path / "a.png", tmp_path / "b.jpg") as after:
        assert max(after.quantization[0]) < 15  # quality 95


@pytest.mark.parametrize("adobe", [True, False])
def test_keeps_the_colours_of_a_cmyk_jpeg(tmp_path, adobe):
    pixels = np.repeat(np.repeat(random_pixels(4, 4, 4), 16, 0), 16, 1)
    image = Image.frombytes("CMYK", (64, 64), pixels.tobytes())
    image.save(tmp_path / "a.jpg", quality=95)
    if not adobe:
        data = (tmp_path / "a.jpg").read_bytes()
        start = data.index(b"\xff\xee")
        (tmp_path / "a.jpg").write_bytes(
            data[:start] + data[start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0] :]
        )
    with Image.open(tmp_path / "a.jpg") as before, rewritten(tmp_path / "a.jpg", tmp_path / "b.jpg") as after:
        assert ("adobe" in before.info) == adobe
        assert after.mode == "CMYK"
        difference = np.asarray(after).astype(int) - np.asarray(before)
        assert abs(difference).max() <= 3
    with rewritten(tmp_path / "a.jpg", tmp_path / "b.png") as after, Image.open(tmp_path / "a.jpg") as before:
        assert after.tobytes() == before.convert("RGB").tobytes()


def test_keeps_the_text_chunks_of_a_png(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a title")
    info.add_text("Comment", "long " * 1000, zip=True)
    info.add_itxt("Author", "Zoë", "de", "Verfasser")
    info.add(b"gAMA", struct.pack(">I", 100_000))
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    Image.new("L", (5, 4)).save(tmp_path / "a.png", pnginfo=info)
    with rewritten(tmp_path / "a.png", tmp_path / "b.png") as result:
        result.load()
        assert result.text["Title"] == "a title"
        assert result.text["Comment"] == "long " * 1000
        assert (result.text["Author"], result.text["Author"].lang, result.text["Author"].tkey) == (
            "Zoë",
            "de",
            "Verfasser",
        )
        assert result.text["XML:com.adobe.xmp"] == "<x />"
        assert result.info["gamma"] == 1


def test_drops_exif_that_is_too_large_for_a_jpeg(tmp_path):
    image = Image.new("L", (5, 4))
    exif = image.getexif()
    exif[0x010E] = "x" * 70_000
    image.save(tmp_path / "a.tif", exif=exif)
    with rewritten(tmp_path / "a.tif", tmp_path / "b.jpg") as result:
        assert not len(result.getexif())


@pytest.mark.parametrize("dpi", [None, 7, (1,), (0, 0), (1, 1), (float("nan"), 1), (1e9, 1), ("x", "y")])
def test_drops_an_invalid_resolution(dpi):
    assert picture_metadata.parsed_dpi(dpi, False) is None


def test_extensions_are_those_of_readable_pictures():
    found = picture_formats.extensions()
    assert {".png", ".jpg", ".jpeg", ".mpo", ".tif", ".gif", ".webp", ".bmp", ".psd"} <= found
    assert not {".pdf", ".eps", ".mpg", ".txt", ""} & found


def test_make_folder_creates_or_reports(tmp_path):
    picture_writing.make_folder(str(tmp_path / "a" / "b"))
    assert os.listdir(tmp_path / "a" / "b") == []
    picture_writing.make_folder(str(tmp_path / "a" / "b"))
    (tmp_path / "file").touch()
    for name in ("file", os.path.join("file", "a")):
        with pytest.raises(OSError, match=f"{name}: cannot be written to "):
            picture_writing.make_folder(str(tmp_path / name))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_load_refuses_formats_that_would_lose_bits(tmp_path, mode):
    path = tmp_path / "deep.tif"
    Image.new(mode, (4, 3)).save(path)
    for held in ("TIFF", "PPM"):
        assert load(path, held).page.image.mode == mode
    for other in ("WEBP", "GIF", "JPEG"):
        with pytest.raises(
            OSError, match=rf"has more than 8 bits \(mode {mode}.*\), which {other} cannot hold; .*TIFF"
        ):
            load(path, other)


@pytest.mark.parametrize("target", ["PNG", "PPM", "JPEG2000", "TIFF"])
def test_big_endian_pixels_keep_their_numbers(tmp_path, target):
    numbers = np.arange(0, 65536, 7, np.uint16).reshape(1, -1)
    Image.fromarray(numbers.astype(">u2")).save(tmp_path / "deep.tif")
    page = load(tmp_path / "deep.tif", target).page
    assert page.image.mode == ("I;16B" if target == "TIFF" else "I;16")
    np.testing.assert_array_equal(np.asarray(page.image), numbers)
    if target != "JPEG2000":  # may be lossy
        with Image.open(io.BytesIO(picture_writing.encode([page], target))) as image:
            np.testing.assert_array_equal(np.asarray(image), numbers)
    with pytest.raises(OSError, match=r"has more than 8 bits \(mode I;16\), which JPEG cannot hold"):
        load(tmp_path / "deep.tif", "JPEG")
