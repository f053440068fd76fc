"""Picture files: what is loaded can be convolved, and what is saved comes whole or not at all."""

import os
import stat
import sys

import numpy as np
import pytest
from PIL import Image

from fastconv import _files, kernels
from fastconv.image import convolve_image


def random_pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_load_gives_upright_pixels_in_a_mode_to_convolve(tmp_path):
    image = Image.fromarray(random_pixels(6, 7, 3))
    exif = image.getexif()
    exif[0x0112] = 6  # a camera held upright: turn by 270 degrees to see it so
    image.save(tmp_path / "turned.png", exif=exif)
    loaded = _files.load(tmp_path / "turned.png")
    np.testing.assert_array_equal(np.asarray(loaded), np.rot90(np.asarray(image), 3))
    assert 0x0112 not in loaded.getexif()


@pytest.mark.parametrize(
    ("mode", "name", "options", "expected"),
    [
        ("1", "a.png", {}, "L"),
        ("L", "a.png", {}, "L"),
        ("L", "a.png", {"transparency": 3}, "LA"),
        ("P", "a.png", {}, "RGB"),
        ("P", "a.gif", {"transparency": 0}, "RGBA"),
        ("RGB", "a.png", {"transparency": (0, 0, 0)}, "RGBA"),
        ("RGBA", "a.png", {}, "RGBA"),
        ("CMYK", "a.jpg", {"icc_profile": b"not for RGB"}, "RGB"),
        ("I;16", "a.tif", {}, "I;16"),
        ("I", "a.tif", {}, "I"),
        ("F", "a.tif", {}, "F"),
    ],
)
def test_load_converts_what_has_no_numbers_to_add(tmp_path, mode, name, options, expected):
    Image.new(mode, (5, 4)).save(tmp_path / name, **options)
    loaded = _files.load(tmp_path / name)
    assert (loaded.mode, loaded.size) == (expected, (5, 4))
    assert "transparency" not in loaded.info
    assert "icc_profile" not in loaded.info
    assert convolve_image(loaded, kernels.box()).mode == expected


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.tif"])
def test_load_of_a_truncated_file(tmp_path, name):
    Image.fromarray(random_pixels(64, 64)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(OSError, match=r"broken picture \(.+\)|not a picture") as caught:
        _files.load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_load_of_what_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(OSError, match=r"a\.png: not a picture"):
        _files.load(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        _files.load(tmp_path / "b.png")
    with pytest.raises(OSError, match=r"directory|denied"):
        _files.load(tmp_path)


def test_load_of_a_decompression_bomb(tmp_path, monkeypatch):
    Image.new("L", (10, 10)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 49)
    with pytest.raises(OSError, match=r"a\.png: too many pixels \(more than 98\)"):
        _files.load(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99)  # Pillow only warns
    assert _files.load(tmp_path / "a.png").size == (10, 10)


@pytest.mark.parametrize(("name", "picture_format"), [("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.d.tiff", "TIFF")])
def test_save_follows_the_extension(tmp_path, name, picture_format):
    _files.save(Image.new("RGB", (5, 4), "red"), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == picture_format
        assert image.size == (5, 4)
    assert os.listdir(tmp_path) == [name]


def test_saved_files_have_the_permissions_of_any_new_file(tmp_path):
    _files.save(Image.new("L", (5, 4)), tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.png", "b.png")]
    assert modes[0] == modes[1]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_save_writes_through_a_link(tmp_path):
    (tmp_path / "link.png").symlink_to("there.png")
    _files.save(Image.new("L", (5, 4)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    with Image.open(tmp_path / "there.png") as image:
        assert image.size == (5, 4)


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, error, message in (
        ("a.xyz", ValueError, r"no picture format to write for the extension '\.xyz'"),
        ("a", ValueError, "no picture format to write for the extension ''"),
        ("folder.png", OSError, "is a folder"),
        (os.path.join("none", "a.png"), OSError, "there is no folder"),
    ):
        with pytest.raises(error, match=message):
            _files.check_target(tmp_path / name)
        with pytest.raises(error, match=message):
            _files.save(Image.new("L", (2, 2)), tmp_path / name)
    assert os.listdir(tmp_path) == ["folder.png"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyError("odd"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch, failure, before):
    target = tmp_path / "a.png"
    if before is not None:
        target.write_bytes(before)

    def fail(self, file, *args, **kwargs):
        file.write(b"half of a picture")
        file.flush()
        assert len(os.listdir(tmp_path)) == (1 if before is None else 2)  # it does lie in this folder
        raise failure

    monkeypatch.setattr(Image.Image, "save", fail)
    expected, message = (KeyboardInterrupt, None) if isinstance(failure, KeyboardInterrupt) else (OSError, "a.png: ")
    with pytest.raises(expected, match=message) as caught:
        _files.save(Image.new("L", (2, 2)), target)
    if isinstance(failure, OSError):
        assert str(caught.value) == f"{target}: cannot be written (No space left on device)"
    assert os.listdir(tmp_path) == ([] if before is None else ["a.png"])
    assert before is None or target.read_bytes() == before


def test_a_mode_that_the_format_cannot_hold(tmp_path):
    with pytest.raises(OSError, match=r"a\.jpg: cannot be written \(cannot write mode RGBA as JPEG\)"):
        _files.save(Image.new("RGBA", (2, 2)), tmp_path / "a.jpg")
    assert os.listdir(tmp_path) == []
