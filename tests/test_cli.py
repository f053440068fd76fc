"""The command: what it writes and prints, and one line for every mistake."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import _demo, _sample, _stopwatch, kernels, reference
from fastconv.cli import main
from fastconv.image import convolve_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a picture, a broken one and a kernel."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("in.png")
    data = (tmp_path / "in.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "kernel.txt").write_text("# a ramp\n1 2\n3 4\n")
    return tmp_path


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def expected(kernel, *args, **options):
    with Image.open("in.png") as image:
        return np.asarray(convolve_image(image, kernel, *args, **options))


def error_line(arguments, capsys, status=2):
    """Run with a mistake: the line on stderr, of which there is one, and nothing else."""
    before = sorted(os.listdir())
    assert main(arguments) == status
    assert sorted(os.listdir()) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastconv: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err[len("fastconv: error: ") : -1]


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


# One picture


@pytest.mark.parametrize("name", kernels.NAMES)
def test_kernels_by_name(folder, name):
    assert main(["in.png", "out.png", "--kernel", name]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernels.named(name)))


@pytest.mark.parametrize(
    ("options", "kernel", "keywords"),
    [
        (["--kernel", "0 1; 2 3"], [[0, 1], [2, 3]], {}),
        (["--kernel", "-1 0 1"], [[-1, 0, 1]], {}),
        (["--kernel", "-1,0,1"], [[-1, 0, 1]], {}),
        (["--kernel", "-.5,1"], [[-0.5, 1]], {}),
        (["--kernel=-1;1"], [[-1], [1]], {}),
        (["--kernel", "1/4 3/4"], [[0.25, 0.75]], {}),
        (["--kernel", " box "], kernels.box(), {}),
        (["--kernel-file", "kernel.txt", "--scale", "1/10"], np.array([[1, 2], [3, 4]]) * 0.1, {}),
        (["--kernel", "edge", "--scale", "-1", "--offset", "-1e1"], -kernels.edge(), {"offset": -10}),
        (["--kernel", "sobel-x", "--offset", "128"], kernels.sobel_x(), {"offset": 128}),
        (["--kernel", "box", "--mode", "full"], kernels.box(), {"mode": "full"}),
        (["--kernel", "box", "--mode", "valid", "--workers", "1"], kernels.box(), {"mode": "valid"}),
        (["--kernel", "box", "--boundary", "wrap"], kernels.box(), {"boundary": "wrap"}),
        (
            ["--kernel", "box", "--boundary", "fill", "--fill-value", "255"],
            kernels.box(),
            {"boundary": "fill", "fill_value": 255},
        ),
        (["--kernel", "box", "--boundary", "fill"], kernels.box(), {"boundary": "fill"}),
    ],
)
def test_options(folder, options, kernel, keywords):
    assert main(["in.png", "out.png", *options]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernel, **keywords))


def test_what_is_printed(folder, capsys):
    assert main(["in.png", "out.png", "--kernel", "box", "--mode", "full"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line for line in out.splitlines() if not line.startswith("first call: ")]
    assert lines[0] == "in.png: 30 x 20 RGB, kernel 3 x 3"
    assert re.fullmatch(r"convolution: \d+\.\d+ m?s, \d+\.\d Mpixel/s", lines[1])
    assert lines[2] == "out.png: 32 x 22 RGB"
    assert len(lines) == 3


def test_compilation_is_told_apart(folder, capsys, monkeypatch):
    seconds = iter([1.5, 0.25])
    monkeypatch.setattr(
        _stopwatch.Stopwatch,
        "_time",
        lambda self, *args, **kwargs: (next(seconds), fastconv.convolve2d(*args, **kwargs)),
    )
    assert main(["in.png", "out.png", "--kernel", "edge"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "convolution: 250.0 ms, 0.0 Mpixel/s"
    assert lines[2] == "first call: 1.25 s more, to compile or to load what was compiled before"


def test_a_file_that_was_there_is_replaced(folder):
    (folder / "out.png").write_text("old")
    assert main(["in.png", "out.png", "--kernel", "box"]) == 0
    assert pixels_of("out.png").shape == (20, 30, 3)


def test_a_palette_with_transparency_becomes_colours(folder):
    Image.new("P", (8, 6)).save("in.gif", transparency=0)
    assert main(["in.gif", "out.png", "--kernel", "box"]) == 0
    assert pixels_of("out.png").shape == (6, 8, 4)


@pytest.mark.parametrize("spelling", ["./demo.png", "demo.png"])
def test_only_the_bare_word_is_the_demonstration(folder, spelling):
    os.rename("in.png", "demo.png")
    os.link("demo.png", "demo")
    assert main([spelling, "out.png", "--kernel", "box"]) == 0
    assert main(["./demo", "out2.png", "--kernel", "box"]) == 0
    assert not os.path.exists("fastconv-demo.png")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: IN, OUT"),
        ("in.png", "the following arguments are required: OUT"),
        ("in.png out.png", "one of the arguments --kernel --kernel-file is required"),
        ("in.png out.png --kernel box --kernel-file kernel.txt", "argument --kernel-file: not allowed with .*--kernel"),
        ("in.png out.png --kernel box --unknown", "unrecognized arguments: --unknown"),
        ("in.png out.png more --kernel box", "unrecognized arguments: more"),
        ("in.png out.png --kernel", "argument --kernel: expected one argument"),
        ("in.png out.png --kernel blur", "no kernel is called 'blur'; there are edge, .*"),
        ("in.png out.png --kernel 1,2;3", "kernel must have rows of equal length; row 1 has 2, row 2 has 1"),
        ("in.png out.png --kernel 1,x", "kernel must be made of numbers; got 'x'"),
        ("in.png out.png --kernel ;", "kernel must not be empty; got no number"),
        ("in.png out.png --kernel 3e38 --scale 1e308", "kernel must be finite, .*"),
        ("in.png out.png --kernel-file none.txt", "none.txt: No such file or directory"),
        ("in.png out.png --kernel-file in.png", "in.png: not a text file in UTF-8"),
        ("in.png out.png --kernel box --mode half", "argument --mode: invalid choice: 'half' .*"),
        ("in.png out.png --kernel box --boundary edge", "argument --boundary: invalid choice: 'edge' .*"),
        ("in.png out.png --kernel box --scale two", "argument --scale: must be a finite number; got 'two'"),
        ("in.png out.png --kernel box --scale 1/0", "argument --scale: must be a finite number; got '1/0'"),
        ("in.png out.png --kernel box --offset nan", "argument --offset: must be a finite number; got 'nan'"),
        ("in.png out.png --kernel box --workers 0", "argument --workers: must be a positive integer; got '0'"),
        ("in.png out.png --kernel box --workers 1.5", "argument --workers: must be a positive integer; got '1.5'"),
        ("in.png out.png --kernel box --fill-value 3", "argument --fill-value: is for --boundary fill only"),
        (
            "in.png out.png --kernel box --boundary fill --fill-value 300",
            r"fill_value must lie in 0 \.\. 255 for an image of mode 'RGB'; got 300\.0",
        ),
        (
            "in.png out.png --kernel-file tall.txt --mode valid",
            ".* one of image and kernel must .*",
        ),
        ("none.png out.png --kernel box", "none.png: No such file or directory"),
        ("kernel.txt out.png --kernel box", "kernel.txt: not a picture, or of a format that Pillow does not know"),
        ("broken.png out.png --kernel box", r"broken.png: broken picture \(.+\)"),
        ("in.png out --kernel box", "out: no picture format to write for the extension '' *;.*"),
        ("in.png out.xyz --kernel box", "out.xyz: no picture format to write for the extension '.xyz';.*"),
        ("in.png none/out.png --kernel box", "none/out.png: there is no folder .*none"),
        ("in.png in.png --kernel box", "in.png: would overwrite the input; choose another name"),
        ("in.png ./in.png --kernel box", "./in.png: would overwrite the input; choose another name"),
        ("in.png hard.png --kernel box", "hard.png: would overwrite the input; choose another name"),
        ("none.png none.png --kernel box", "none.png: would overwrite the input; choose another name"),
        ("in.png kernel.png --kernel-file kernel.png", "kernel.png: would overwrite the input; choose another name"),
        ("demo more", "unrecognized arguments: more"),
        ("demo --size 640", "argument --size: must be WIDTHxHEIGHT, each of 160 .. 2048 pixels; got '640'"),
        ("demo --size 640x100", "argument --size: must be WIDTHxHEIGHT, .*; got '640x100'"),
        ("demo --size 99999x200", "argument --size: must be WIDTHxHEIGHT, .*; got '99999x200'"),
        ("demo --output demo.jpg", "demo.jpg: the demonstration is a PNG; its name must end in .png"),
        ("demo --output none/demo.png", "none/demo.png: there is no folder .*none"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, message):
    os.link("in.png", "hard.png")
    (folder / "kernel.png").write_text("1 2 1")
    (folder / "tall.txt").write_text("1\n" * 21)
    before = (folder / "in.png").read_bytes()
    assert re.fullmatch(message, error_line(arguments.split(), capsys))
    assert (folder / "in.png").read_bytes() == before


def test_a_line_end_in_a_path_is_no_second_line(folder, capsys):
    assert error_line(["a\nb.png", "out.png", "--kernel", "box"], capsys) == "a b.png: No such file or directory"


def test_a_failed_write_leaves_what_was_there(folder, capsys, monkeypatch):
    (folder / "out.png").write_text("old")

    def fail(self, file, *args, **kwargs):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    line = error_line(["in.png", "out.png", "--kernel", "box"], capsys)
    assert line == "out.png: cannot be written (No space left on device)"
    assert (folder / "out.png").read_text() == "old"


def test_an_interrupt_is_quiet(folder, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastconv, "convolve2d", interrupt)
    assert main(["in.png", "out.png", "--kernel", "box"]) == 130
    assert capsys.readouterr() == ("", "")
    assert not (folder / "out.png").exists()


def test_no_memory_is_an_error_like_others(folder, capsys, monkeypatch):
    def exhaust(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(fastconv, "convolve2d", exhaust)
    assert error_line(["in.png", "out.png", "--kernel", "box"], capsys) == "MemoryError"


# The process


HELP = """
import sys
from fastconv.cli import main

print([main(["--help"]), main(["demo", "--help"]), main(["--version"]), main(["in.png", "out.png", "--kernel", "x"])])
print(sorted({"numba", "PIL"} & sys.modules.keys()))
"""


def test_help_and_mistakes_import_neither_numba_nor_pillow():
    done = run("-c", HELP)
    assert done.stderr.startswith("fastconv: error: no kernel is called 'x'; ")
    assert done.stdout.splitlines()[-2:] == ["[0, 0, 0, 2]", "[]"]
    assert "--kernel-file PATH" in done.stdout
    assert "sobel-x" in done.stdout
    assert f"fastconv {fastconv.__version__}\n" in done.stdout


def test_exit_statuses(folder):
    done = run("-m", "fastconv", "in.png", "out.png", "--kernel", "edge")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("in.png: 30 x 20 RGB, kernel 3 x 3\n")
    assert pixels_of("out.png").shape == (20, 30, 3)

    done = run("-m", "fastconv", "broken.png", "out2.png", "--kernel", "edge")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fastconv: error: broken\.png: broken picture \(.+\)\n", done.stderr)
    assert not (folder / "out2.png").exists()


# The demonstration


def test_demo(folder, capsys):
    assert main(["demo", "--size", "200x160"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    sheet = pixels_of("fastconv-demo.png")
    assert f"fastconv-demo.png: {sheet.shape[1]} x {sheet.shape[0]} RGB" in out.splitlines()
    size, corners = _sample.sheet_layout(200, 160)
    assert sheet.shape == (size[1], size[0], 3)

    original, *results = [sheet[top : top + 160, left : left + 200] for left, top in corners]
    np.testing.assert_array_equal(original, np.asarray(_sample.sample(200, 160)))
    picture = Image.fromarray(original)
    shown = dict(zip([panel.name for panel in _demo.panels()], results))
    np.testing.assert_array_equal(shown["sharpen"], np.asarray(convolve_image(picture, kernels.sharpen())))
    np.testing.assert_array_equal(
        shown["sobel-x"], np.asarray(convolve_image(picture, kernels.sobel_x() / 4, offset=128))
    )
    edges = np.maximum(*(np.asarray(convolve_image(picture, sign * kernels.edge())) for sign in (1, -1)))
    np.testing.assert_array_equal(shown["edge"], edges)
    panels = [original, *results]
    for index, panel in enumerate(panels):
        assert panel.std() > 3  # not blank
        assert all((panel != other).any() for other in panels[:index])

    rows = [line.split() for line in out.splitlines()[2:10]]
    assert [row[0] for row in rows] == [
        "edge",
        "sharpen",
        "emboss",
        "box",
        "gaussian",
        "sobel-x",
        "sobel-y",
        "laplacian",
    ]
    for row in rows:
        milliseconds, speed = float(row[-3]), float(row[-2])
        assert milliseconds == pytest.approx(200 * 160 / speed / 1e3, rel=0.1, abs=1e-3)
        assert int(row[-1].replace(",", "")) > 1


def test_demo_draws_the_same_every_time_and_in_any_shape():
    for width, height in ((160, 300), (301, 160)):
        sample = _sample.sample(width, height)
        assert (sample.mode, sample.size) == ("RGB", (width, height))
        assert sample.tobytes() == _sample.sample(width, height).tobytes()


def test_demo_claims_nothing_for_a_wrong_result(folder, capsys, monkeypatch):
    right = reference.convolve2d

    def wrong(*args):
        rows = right(*args)
        rows[0][0] += 0.5
        return rows

    monkeypatch.setattr(reference, "convolve2d", wrong)
    assert main(["demo", "--size", "160x160"]) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"fastconv: error: edge: differs from the reference by 0\.5, rounding is .*\n", err)
    assert "edge" not in out
    assert not (folder / "fastconv-demo.png").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes are other things there")
def test_a_reader_that_leaves_early_costs_nothing(tmp_path):
    target = tmp_path / "sheet.png"
    command = f"{sys.executable} -m fastconv demo --size 160x160 --output {target} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fastconv ")
    with Image.open(target) as sheet:
        assert sheet.width > 3 * 160
