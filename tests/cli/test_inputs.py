"""Expansion of files, folders and patterns to pairs of input and output."""

import os
import re
import sys

import pytest
from PIL import Image

from fastconv.cli import entry
from fastconv.cli.inputs import Job, Order, order


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with empty files named as pictures."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "a.png",
        "b.JPG",
        "notes.txt",
        ".hidden.png",
        "photos/c.png",
        "photos/d.tif",
        "photos/notes.txt",
        "photos/sub/a.png",
        "photos/sub/deep/e f.png",
        "photos/.cache/g.png",
        "odd[1].png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def pairs(*inputs, **options):
    return [tuple(job) for job in order(list(inputs), "out", **options).jobs]


def out(*names):
    return [os.path.join("out", *name.split("/")) for name in names]


def test_pairs_a_file_with_a_file(folder):
    assert order(["a.png"], "b.png") == Order([Job("a.png", "b.png")], None, False, 0)
    assert order(["-"], "-") == Order([Job("-", "-")], None, False, 0)
    assert order(["a.png"], "-").jobs == [Job("a.png", "-")]
    assert order(["none.png"], "b.png").jobs == [Job("none.png", "b.png")]


@pytest.mark.parametrize("output", ["photos", "new" + os.sep])
def test_keeps_the_name_of_a_file_in_a_folder(folder, output):
    expected = [Job("a.png", os.path.join(output, "a.png"))]
    assert order(["a.png"], output) == Order(expected, output, False, 0)


def test_pairs_several_files(folder):
    found = order(["b.JPG", "a.png", "none.png"], "out")
    assert found == Order(
        [Job(*pair) for pair in zip(("b.JPG", "a.png", "none.png"), out("b.JPG", "a.png", "none.png"))],
        "out",
        True,
        0,
    )
    assert pairs("b.JPG", "a.png", extension="webp") == list(zip(("b.JPG", "a.png"), out("b.webp", "a.webp")))


def test_finds_the_pictures_in_a_folder(folder):
    found = order(["photos"], "out")
    assert found.jobs == [Job(os.path.join("photos", name), *out(name)) for name in ("c.png", "d.tif")]
    assert (found.many, found.ignored) == (True, 1)
    assert order(["photos" + os.sep], "out").jobs == found.jobs


def test_finds_pictures_in_subfolders_if_recursive(folder):
    names = "c.png", "d.tif", "sub/a.png", "sub/deep/e f.png"
    assert [pair[1] for pair in pairs("photos", recursive=True)] == out(*names)


def test_skips_the_output_folder(folder):
    os.mkdir("photos/out")
    (folder / "photos" / "out" / "z.png").touch()
    found = order(["photos"], os.path.join("photos", "out"), recursive=True)
    assert len(found.jobs) == 4
    assert os.path.join("photos", "out", "z.png") not in [job.source for job in found.jobs]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a.png", "b.JPG", "odd[1].png"]),
        ("*.png", ["a.png", "odd[1].png"]),
        ("photos/*", ["c.png", "d.tif"]),
        ("photos/*/*.png", ["sub/a.png"]),
        ("photos/**/*.png", ["c.png", "sub/a.png", "sub/deep/e f.png"]),
        ("ph*/d.tif", ["photos/d.tif"]),
        ("photos/[cx].png", ["c.png"]),
        ("photos/s?b/../../a.png", ["a.png"]),
    ],
)
def test_expands_patterns(folder, pattern, names):
    assert sorted(pair[1] for pair in pairs(pattern.replace("/", os.sep))) == sorted(out(*names))


@pytest.mark.parametrize("pattern", ["scans [2024]/*.png", "scans [2024]/[xy]*", "scans [2024]/**/[xy].png"])
def test_brackets_in_the_name_of_a_folder_are_literal(folder, pattern):
    for name in ("scans [2024]", "scans 2"):
        (folder / name).mkdir()
        for picture in ("x.png", "y.png"):
            (folder / name / picture).write_bytes(b"")
    found = [
        (os.path.join("scans [2024]", name), target) for name, target in zip(("x.png", "y.png"), out("x.png", "y.png"))
    ]
    assert sorted(pairs(pattern.replace("/", os.sep))) == found


def test_prefers_an_existing_file_to_a_pattern(folder):
    assert pairs("odd[1].png", "a.png") == list(zip(("odd[1].png", "a.png"), out("odd[1].png", "a.png")))


def test_ignores_duplicate_inputs(folder):
    assert len(pairs("photos", os.path.join("photos", "*.png"), os.path.join("photos", "c.png"))) == 2


@pytest.mark.parametrize("inputs", [["a.png", "photos/sub/a.png"], ["photos/*/a.png", "photos/../a.png", "photos/sub"]])
def test_the_second_of_two_inputs_with_one_output_clashes(folder, inputs):
    found = order(inputs, "out")
    assert len(found.jobs) == len(inputs) - 1
    (clash,) = found.clashes
    assert re.fullmatch(r"would overwrite out.a\.png, the result of .*a\.png", str(clash))
    assert order([inputs[0]], "out").many == ("*" in inputs[0])


def test_inputs_that_differ_in_extension_only_clash_with_one_format(folder):
    (folder / "a.tif").touch()
    assert len(pairs("a.png", "a.tif")) == 2
    (clash,) = order(["a.png", "a.tif"], "out", "webp").clashes
    assert str(clash) == f"would overwrite {os.path.join('out', 'a.webp')}, the result of a.png"


@pytest.mark.parametrize(
    ("inputs", "output"), [(["photos"], "photos"), (["a.png", "photos"], "."), (["photos/c.png", "b.JPG"], "photos")]
)
def test_rejects_an_output_that_is_an_input(folder, inputs, output):
    with pytest.raises(ValueError, match="would overwrite the input; choose another name"):
        order(inputs, output)


def test_writes_another_format_beside_the_inputs(folder):
    assert [job.target for job in order(["photos"], "photos", "webp").jobs] == [
        os.path.join("photos", name) for name in ("c.webp", "d.webp")
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
def test_follows_links_to_files_but_not_to_parent_folders(folder):
    os.symlink("photos", "linked")
    os.symlink("../a.png", "photos/link.png")
    os.symlink("none.png", "photos/dangling.png")
    os.symlink("..", "photos/sub/up")
    names = "c.png", "d.tif", "dangling.png", "link.png"
    assert [pair[1] for pair in pairs("photos")] == out(*names)
    assert [pair[1] for pair in pairs("linked")] == out(*names)
    assert len(pairs("photos", recursive=True)) == 6  # does not follow the link to the parent
    os.symlink("a.png", "out.png")
    with pytest.raises(ValueError, match=r"out\.png: would overwrite the input"):
        order(["a.png"], "out.png")


def test_raises_if_a_folder_cannot_be_read(folder, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(PermissionError):
        order(["photos"], "out")


def test_pattern_does_not_match_earlier_outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("L", (5, 5)).save("photos/one.png")
    arguments = ["photos/**/*.png", "photos/out", "--kernel", "box"]
    assert entry.main(arguments) == 0
    assert entry.main([*arguments, "--force"]) == 0
    assert [path.name for path in (tmp_path / "photos" / "out").rglob("*.*")] == ["one.png"]
