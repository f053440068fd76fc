"""The command with files of several pictures: pages and frames."""

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli.entry import main

_SHIFT = "1 0 0"  # to the left: exact, whatever the kernel of the test


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frames(count=3, shape=(6, 8, 3)):
    rng = np.random.default_rng(5)
    return [Image.fromarray(rng.integers(0, 256, shape, np.uint8)) for _ in range(count)]


def save(name, images, **options):
    images[0].save(name, save_all=True, append_images=images[1:], **options)


def read(name, mode=None):
    """Pixels of each picture of a file, and its information."""
    with Image.open(name) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            yield np.asarray(image.convert(mode) if mode else image), dict(image.info)


def filtered(image):
    return np.asarray(pictures.filter(image, kernels.parse(_SHIFT)))


@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(["gif", "webp", "png"], 2)])
def test_animations_keep_frames_durations_and_plays(source, target, plays):
    stored = {"gif": {0: {"loop": 0}, 1: {}, 3: {"loop": 2}}}
    loop = stored.get(source, {}).get(plays, {"loop": plays})
    images = [Image.new("RGB", (8, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if source == "webp" else {}
    save(f"in.{source}", images, duration=[100, 250, 30], **loop, **options)
    assert main([f"in.{source}", f"out.{target}", "--kernel", "identity"]) == 0
    found = list(read(f"out.{target}", "RGB"))
    for (pixels, _), image in zip(found, images, strict=True):
        np.testing.assert_allclose(pixels, np.asarray(image), atol=3 if target == "webp" else 0)
    assert [round(info["duration"]) for _, info in found] == [100, 250, 30]
    expected = stored.get(target, {}).get(plays, {"loop": plays}).get("loop")
    assert found[0][1].get("loop") == expected


@pytest.mark.parametrize("name", ["in.png", "in.tif"])
def test_each_picture_is_filtered(name):
    images = frames()
    save(name, images)
    assert main([name, f"out{name[2:]}", "--kernel", _SHIFT]) == 0
    for (pixels, _), image in zip(read(f"out{name[2:]}"), images, strict=True):
        np.testing.assert_array_equal(pixels, filtered(image))


def test_pages_keep_their_modes_sizes_and_tags(capsys):
    pages = [
        Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000),
        Image.fromarray(np.arange(20, dtype=np.float32).reshape(4, 5) / 7),
        *frames(1, (3, 2, 4)),
    ]
    with open("in.tif", "w+b") as file, TiffImagePlugin.AppendingTiffWriter(file) as document:
        for number, page in enumerate(pages):
            page.save(document, "TIFF", tiffinfo={270: f"page {number}"}, compression="tiff_adobe_deflate")
            document.newFrame()
    assert main(["in.tif", "out.tif", "--kernel", "identity"]) == 0
    assert "in.tif: 8 x 6 I;16, 3 pictures" in capsys.readouterr().out
    with Image.open("out.tif") as image:
        assert image.n_frames == 3
        for number, page in enumerate(pages):
            image.seek(number)
            assert (image.mode, image.size, image.tag_v2[270]) == (page.mode, page.size, f"page {number}")
            assert image.info["compression"] == "tiff_adobe_deflate"
            np.testing.assert_array_equal(np.asarray(image), np.asarray(page))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("name", "target"), [("in.tif", "out.tif"), ("in.tif", "out.png"), ("in.png", "out.bmp")])
def test_page_takes_one(name, target, number, capsys):
    images = frames()
    save(name, images)
    assert main([name, target, "--kernel", _SHIFT, "--page", str(number)]) == 0
    ((pixels, _),) = read(target)
    np.testing.assert_array_equal(pixels, filtered(images[number - 1]))
    assert capsys.readouterr().err == ""


def test_rejects_a_page_that_is_not_there(capsys):
    save("in.tif", frames())
    frames(1)[0].save("one.png")
    for name, has in (("in.tif", "3 pictures; --page 4 is"), ("one.png", "1 picture; --page 4 is")):
        assert main([name, "out.tif", "--kernel", "box", "--page", "4"]) == 2
        assert capsys.readouterr().err == f"fastconv: error: {name}: has {has} not one of them\n"
    assert main(["in.tif", "out.tif", "--kernel", "box", "--page", "0"]) == 2
    assert capsys.readouterr().err == "fastconv: error: argument --page: must be a positive integer; got '0'\n"


@pytest.mark.parametrize(
    ("name", "target", "held"),
    [
        ("in.tif", "out.png", "PNG"),
        ("in.tif", "out.gif", "GIF"),
        ("in.gif", "out.jpg", "JPEG"),
        ("in.png", "out.bmp", "BMP"),
    ],
)
def test_notes_that_only_the_first_is_read_where_the_format_holds_one(name, target, held, capsys):
    save(name, [Image.new("L", (8, 6), value) for value in (50, 100, 150)])
    assert main([name, target, "--kernel", "box"]) == 0
    note = f"{name}: only the first of 3 pictures is read, as {held} cannot hold them; --page takes another"
    assert capsys.readouterr().err == f"fastconv: note: {note}\n"
    ((pixels, _),) = read(target, "L")
    assert (pixels == 50).all()


@pytest.mark.parametrize("target", ["out.tif", "out.pdf"])
def test_frames_become_pages(target):
    images = frames()
    save("in.png", images)
    assert main(["in.png", target, "--kernel", _SHIFT]) == 0
    if target == "out.pdf":
        with open(target, "rb") as file:
            assert file.read().count(b"/Type /Page\n") == 3
        return
    for (pixels, _), image in zip(read(target), images, strict=True):
        np.testing.assert_array_equal(pixels, filtered(image))


def test_each_picture_is_beside_the_original_with_compare():
    images = frames()
    save("in.tif", images)
    assert main(["in.tif", "out.tif", "--kernel", _SHIFT, "--compare"]) == 0
    for (pixels, _), image in zip(read("out.tif"), images, strict=True):
        np.testing.assert_array_equal(pixels[:, :8], np.asarray(image))
        np.testing.assert_array_equal(pixels[:, -8:], filtered(image))


def test_transparent_frames_do_not_show_through():
    images = [Image.new("RGBA", (24, 8), "red") for _ in range(3)]
    for seed, image in enumerate(images):
        alpha = 255 * np.random.default_rng(seed).integers(0, 2, (8, 24), np.uint8)
        image.putalpha(Image.fromarray(alpha))
    save("in.png", images, duration=100)
    for name in ("out.gif", "out.webp", "out.png"):
        assert main(["in.png", name, "--kernel", "identity"]) == 0
        for (pixels, _), image in zip(read(name, "RGBA"), images, strict=True):
            np.testing.assert_array_equal(pixels[..., 3], np.asarray(image)[..., 3])


def test_a_picture_for_viewers_without_animations_stays_apart():
    images = frames(4)
    save("in.png", images, duration=[100, 200, 300], default_image=True)
    assert main(["in.png", "out.png", "--kernel", _SHIFT]) == 0
    found = list(read("out.png"))
    for (pixels, info), image in zip(found, images, strict=True):
        np.testing.assert_array_equal(pixels, filtered(image))
        assert info["default_image"]
    assert [info["duration"] for _, info in found[1:]] == [100, 200, 300]


_IMAGEJ = "ImageJ=1.53t\nimages=3\nslices=3\nloop=false\nunit=micron\nspacing=0.5\n"


def test_the_description_of_imagej_counts_the_pages():
    save("in.tif", frames(), tiffinfo={270: _IMAGEJ})
    assert main(["in.tif", "all.tif", "--kernel", "box"]) == 0
    assert main(["in.tif", "one.tif", "--kernel", "box", "--page", "2"]) == 0
    with Image.open("all.tif") as image:
        assert image.tag_v2[270] == _IMAGEJ
    with Image.open("one.tif") as image:
        assert image.tag_v2[270] == "ImageJ=1.53t\nunit=micron\nspacing=0.5\n"


def test_reads_and_writes_several_pictures_by_standard_input_and_output():
    images = frames()
    save("in.tif", images)
    with open("in.tif", "rb") as file:
        command = [sys.executable, "-m", "fastconv", "-", "-", "--kernel", _SHIFT]
        done = subprocess.run(command, stdin=file, capture_output=True, check=True)
    for (pixels, _), image in zip(read(io.BytesIO(done.stdout)), images, strict=True):
        np.testing.assert_array_equal(pixels, filtered(image))


def test_a_page_that_is_broken_is_reported_and_nothing_is_written(tmp_path, capsys):
    save("in.tif", frames(3, (60, 80, 3)), compression="tiff_lzw")
    data = (tmp_path / "in.tif").read_bytes()
    with Image.open("in.tif") as image:
        image.seek(2)
        (place,) = image.tag_v2[273]
    (tmp_path / "in.tif").write_bytes(data[:place] + b"\xff" * 2000 + data[place + 2000 :])
    assert main(["in.tif", "out.tif", "--kernel", "box"]) == 2
    assert capsys.readouterr().err.startswith("fastconv: error: in.tif: ")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]
