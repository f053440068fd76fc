"""The command `fastconv` with one picture, its error messages, and its demonstration."""

import io
import itertools
import os
import re
import subprocess
import sys
import tempfile
import types

import numpy as np
import pytest
from PIL import Image

import fastconv
from fastconv import image as pictures
from fastconv import kernels, reference
from fastconv.cli import demo, sample_picture
from fastconv.cli import stopwatch as _stopwatch
from fastconv.cli.entry import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a picture, a broken picture and a kernel."""
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


def expected(kernel, **options):
    with Image.open("in.png") as image:
        return np.asarray(pictures.filter(image, kernel, **options))


def error_line(arguments, capsys, status=2):
    """Run a command that fails; return its one line on stderr."""
    before = sorted(os.listdir())
    assert main(arguments) == status
    assert sorted(os.listdir()) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastconv: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err[len("fastconv: error: ") : -1]


def run(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **options)


# One picture


@pytest.mark.parametrize("name", kernels.NAMES)
def test_applies_each_named_kernel(folder, name):
    assert main(["in.png", "out.png", "--kernel", name]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernels.named(name)))


def test_32_bit_pixels_use_float64_kernels(folder):
    flat = np.full((20, 30), 2_000_000_000, np.int32)
    Image.fromarray(flat).save("flat.tif")
    (folder / "thirds.txt").write_text("1/3 1/3 1/3")
    kinds = [("--kernel", name) for name in ("gaussian", "box", "disk", "motion", "unsharp", "1/3 1/3 1/3")]
    for option, kernel in [*kinds, ("--kernel-file", "thirds.txt")]:
        assert main(["flat.tif", "out.tif", option, kernel, "--force"]) == 0
        np.testing.assert_array_equal(pixels_of("out.tif"), flat)


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
        (["--kernel-file", "kernel.txt", "--scale", "10"], [[1, 2], [3, 4]], {"scale": 10}),
        (["--kernel", "edge", "--scale", "-1/2", "--offset", "-1e1"], kernels.edge(), {"scale": -0.5, "offset": -10}),
        (["--kernel", "0 1; 2 3", "--correlate"], [[0, 1], [2, 3]], {"correlate": True}),
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
def test_applies_each_option(folder, options, kernel, keywords):
    assert main(["in.png", "out.png", *options]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernel, **keywords))


def test_prints_sizes_and_times(folder, capsys):
    for name in ("out.png", "again.png"):
        assert main(["in.png", name, "--kernel", "box", "--mode", "full"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()[3:]  # of the second call, which compiles nothing
    assert lines[0] == "in.png: 30 x 20 RGB, kernel 3 x 3"
    assert re.fullmatch(r"convolution: \d+\.\d+ m?s, \d+\.\d Mpixel/s", lines[1])
    assert lines[2] == "again.png: 32 x 22 RGB"
    assert len(lines) == 3


def test_prints_that_kernels_were_compiled():
    code = """
import numpy
from PIL import Image
from fastconv.cli.entry import main
Image.new("L", (5, 4)).save("in.png")
print(main(["in.png", "out.png", "--kernel", "edge"]))
"""
    with tempfile.TemporaryDirectory() as folder:
        done = run("-c", code, cwd=folder)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"convolution: .* Mpixel/s, including time to compile or load kernels", lines[1])
    assert lines[3] == "0"


def test_replaces_an_existing_file_only_with_force(folder, capsys):
    (folder / "out.png").write_text("old")
    line = error_line(["in.png", "out.png", "--kernel", "box"], capsys)
    assert line == "out.png: already exists; --force replaces it"
    assert error_line(["broken.png", "out.png", "--kernel", "box"], capsys) == line  # before anything is read
    assert (folder / "out.png").read_text() == "old"
    assert main(["in.png", "out.png", "--kernel", "box", "--force"]) == 0
    assert pixels_of("out.png").shape == (20, 30, 3)


def test_options_may_be_mixed_with_paths(folder):
    assert main(["--kernel", "box", "in.png", "--scale", "2", "out.png", "--boundary", "wrap"]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernels.box(), scale=2, boundary="wrap"))


def test_accepts_names_with_a_leading_dash(folder):
    os.rename("in.png", "-in.png")
    assert main(["--kernel", "box", "--", "-in.png", "-out.png"]) == 0
    assert main(["./-in.png", "./-out2.png", "--kernel", "box"]) == 0
    np.testing.assert_array_equal(pixels_of("-out.png"), pixels_of("-out2.png"))


def test_keeps_or_filters_alpha(folder):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 9, 4)).astype(np.uint8)
    Image.fromarray(pixels).save("in.png")
    for alpha in ("auto", "keep", "filter"):
        assert main(["in.png", f"{alpha}.png", "--kernel", "gaussian", *["--alpha", alpha] * (alpha != "auto")]) == 0
        np.testing.assert_array_equal(pixels_of(f"{alpha}.png"), expected(kernels.gaussian(), alpha=alpha))
    np.testing.assert_array_equal(pixels_of("keep.png")[..., 3], pixels[..., 3])
    assert (pixels_of("filter.png")[..., 3] != pixels[..., 3]).any()


def test_linear_light(folder, capsys):
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)
    pair = ["--kernel", "1 1; 1 1", "--scale", "4", "--boundary", "wrap", "--linear"]
    for name, pixels, grey in (("b", board, 188), ("w", board.astype(np.uint16) * 257, 48192)):
        Image.fromarray(pixels).save(f"{name}.png")
        assert main([f"{name}.png", f"{name}-out.png", *pair]) == 0
        assert np.all(pixels_of(f"{name}-out.png") == grey)
    assert main(["b.png", "out.png", *pair, "--offset", "3"]) == 2
    assert "argument --offset: must be 0 with --linear" in capsys.readouterr().err
    Image.new("CMYK", (4, 4)).save("in.jpg")
    assert main(["in.jpg", "out.jpg", *pair]) == 2
    assert "linear=True is for sRGB pixels" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["same", "full", "valid"])
def test_compare_writes_before_and_after_side_by_side(folder, mode):
    assert main(["in.png", "out.png", "--kernel", "gaussian", "--mode", mode, "--compare"]) == 0
    before, after = pixels_of("in.png"), expected(kernels.gaussian(), mode=mode)
    both = pixels_of("out.png")
    assert both.shape == (max(20, after.shape[0]), 30 + 1 + after.shape[1], 3)
    top, other = (both.shape[0] - 20) // 2, (both.shape[0] - after.shape[0]) // 2
    np.testing.assert_array_equal(both[top : top + 20, :30], before)
    np.testing.assert_array_equal(both[other : other + after.shape[0], 31:], after)
    assert not both[:, 30].any()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"])
def test_compare_supports_every_mode(folder, mode):
    Image.new(mode, (60, 9), 1 if mode in ("1", "I", "F", "I;16", "I;16B") else "orange").save("in.tif")
    assert main(["in.tif", "out.tif", "--kernel", "0 0 1", "--compare"]) == 0
    with Image.open("out.tif") as both, Image.open("in.tif") as image:
        assert (both.mode, both.size) == (mode, (121, 9))
        for left in (0, 61):
            assert both.crop((left, 0, left + 60, 9)).tobytes() == image.tobytes()


def test_reads_standard_input_and_writes_standard_output(folder, capsysbinary, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((folder / "in.png").read_bytes())))
    assert main(["-", "-", "--kernel", "box"]) == 0
    out, err = capsysbinary.readouterr()
    assert err == b""
    with Image.open(io.BytesIO(out)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), expected(kernels.box()))
    assert main(["in.png", "-", "--kernel", "box", "--format", "jpg"]) == 0
    with Image.open(io.BytesIO(capsysbinary.readouterr().out)) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize("options", ["", "-u"])  # -u: unbuffered
def test_works_in_a_pipe(folder, options):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)).save("in.png")
    command = f"cat in.png | {sys.executable} {options} -m fastconv - - --kernel box | cat >out.png"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernels.box()))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_reports_a_closed_pipe(folder):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1500)).astype(np.uint8)).save("in.png")
    command = f"{sys.executable} -m fastconv in.png - --kernel box | head -c 1 >first; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "fastconv: error: standard output: cannot be written (Broken pipe)\n")
    assert (folder / "first").read_bytes() == b"\x89"


def test_reports_that_no_plugin_writes_the_format_of_standard_output(folder, capsys, monkeypatch):
    monkeypatch.delitem(Image.SAVE, "PNG")
    line = error_line(["in.png", "-", "--kernel", "box"], capsys)
    assert line == "standard output: PNG cannot be written; --format png can"


def test_refuses_to_write_a_picture_to_a_terminal(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    line = error_line(["in.png", "-", "--kernel", "box"], capsys)
    assert line == "standard output is a terminal; redirect it to a file"


@pytest.mark.parametrize(("name", "arguments"), [("output", ["in.png", "-"]), ("input", ["-", "out.png"])])
def test_refuses_a_stream_that_is_closed(folder, capsys, monkeypatch, name, arguments):
    monkeypatch.setattr(sys, f"std{name[:-3]}", None)  # as the interpreter has it after `<&-` or `>&-`
    assert main([*arguments, "--kernel", "box"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastconv: ")
    assert f"standard {name} is closed; redirect it" in error
    assert error.count("\n") == 1


def test_show_kernels_lists_all_named_kernels(capsys):
    assert main(["--show-kernels"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(kernels.NAMES)
    assert re.fullmatch(
        r"gaussian +9 x 9 +A Gaussian, cut off at a radius.*", lines[list(kernels.NAMES).index("gaussian")]
    )
    for line, make in zip(lines, kernels.NAMES.values()):
        assert line.endswith(make.__doc__.splitlines()[0])
        assert len(line.split(" x ", 1)[0].split()) == 2


def test_show_kernels_lists_parameters_with_their_defaults(capsys):
    assert main(["--show-kernels"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (below,) = [after.split() for line, after in itertools.pairwise(lines) if line.startswith("gabor")]
    assert below == ["wavelength=4,", "angle=0,", "sigma,", "aspect=0.5,", "phase=0,", "truncate=4"]


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        (["gaussian", "--sigma", "5"], kernels.gaussian(5)),
        (["gaussian:sigma=5"], kernels.gaussian(5)),
        (["gaussian: sigma=2,3, truncate=3/2 "], kernels.gaussian((2, 3), 1.5)),
        (["gaussian:sigma=1/2", "--truncate", "6"], kernels.gaussian(0.5, 6)),
        (["box", "--size", "9"], kernels.box(9)),
        (["box", "--size", "3,5"], kernels.box((3, 5))),
        (["motion", "--length", "15", "--angle", "-30"], kernels.motion(15, -30)),
        (["disk", "--radius", "4"], kernels.disk(4)),
        (["sobel_x"], kernels.sobel_x()),
        (["unsharp", "--amount", "1.5"], kernels.unsharp(amount=1.5)),
    ],
)
def test_parameters_of_named_kernels_are_options(folder, options, kernel):
    assert main(["in.png", "out.png", "--kernel", *options]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernel))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["box", "--sigma", "3"], "argument --sigma: kernel box takes size; got sigma"),
        (["edge", "--size", "3"], "argument --size: kernel edge has no parameters; got size"),
        (["gaussian:sigma=5", "--sigma", "4"], "argument --sigma: is also in --kernel gaussian:sigma=5"),
        (["gaussian:sigma=5,sigma=4"], "argument --kernel: sigma is given twice in 'gaussian:sigma=5,sigma=4'"),
        (["box:sigma=3"], "argument --kernel: kernel box takes size; got sigma"),
        (["gaussian:5"], "argument --kernel: must be NAME:PARAMETER=VALUE,...; got 'gaussian:5'"),
        (["gaussian:"], "argument --kernel: must be NAME:PARAMETER=VALUE,...; got 'gaussian:'"),
        (["gaussian:sigma=x"], "argument --kernel: sigma must be a finite number, or rows,columns; got 'x'"),
        (["gaussian", "--sigma", "1/0"], "argument --sigma: must be a finite number, or rows,columns; got '1/0'"),
        (["disk", "--radius", "-1"], "radius must be a positive number; got -1"),
        (["box", "--size", "2.5"], "argument --kernel: size must be a positive integer; got 2.5"),
        (["unsharp", "--amount", "1,2"], "argument --kernel: amount must be a finite number; got (1, 2)"),
        (["1 2 1", "--sigma", "3"], "argument --sigma: is for named kernels only"),
    ],
)
def test_rejects_parameters_that_a_kernel_cannot_have(folder, capsys, options, message):
    assert error_line(["in.png", "out.png", "--kernel", *options], capsys) == message


def test_max_pixels_moves_the_limit(folder, capsys):
    before = Image.MAX_IMAGE_PIXELS
    for most, status in (("599", 2), ("600", 0), ("0", 0)):
        assert main(["in.png", "out.png", "--kernel", "box", "--max-pixels", most, "--force"]) == status
        err = capsys.readouterr().err
        message = "in.png: too many pixels (more than 599); --max-pixels allows more"
        assert err == (f"fastconv: error: {message}\n" if status else "")
    assert before == Image.MAX_IMAGE_PIXELS
    assert error_line(["in.png", "b.png", "--kernel", "box", "--max-pixels", "-1"], capsys) == (
        "argument --max-pixels: must be an integer of at least 0; got '-1'"
    )


def test_applies_the_exif_orientation_first(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20)).astype(np.uint8)
    stored = Image.fromarray(np.rot90(pixels))
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save("turned.png", exif=exif)
    Image.fromarray(pixels).save("in.png")
    assert main(["turned.png", "out.png", "--kernel", "sobel-x", "--offset", "128"]) == 0
    np.testing.assert_array_equal(pixels_of("out.png"), expected(kernels.sobel_x(), offset=128))
    with Image.open("out.png") as image:
        assert 0x0112 not in image.getexif()


@pytest.mark.parametrize("size", [(1, 1), (1, 65535), (65535, 1)])
def test_convolves_pictures_of_one_pixel_width(folder, size):
    Image.new("L", size, 100).save("in.png")
    assert main(["in.png", "out.png", "--kernel", "gaussian"]) == 0
    with Image.open("out.png") as image:
        assert image.size == size
        assert image.getextrema() == (100, 100)


def test_converts_a_transparent_palette_to_rgba(folder):
    Image.new("P", (8, 6)).save("in.gif", transparency=0)
    assert main(["in.gif", "out.png", "--kernel", "box"]) == 0
    assert pixels_of("out.png").shape == (6, 8, 4)


@pytest.mark.parametrize("spelling", ["./demo.png", "demo.png"])
def test_a_file_named_demo_is_a_picture(folder, spelling):
    os.rename("in.png", "demo.png")
    os.link("demo.png", "demo")
    assert main([spelling, "out.png", "--kernel", "box"]) == 0
    assert main(["./demo", "out2.png", "--kernel", "box"]) == 0
    assert not os.path.exists("fastconv-demo.png")


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: IN, OUT"),
        ("in.png", "the following arguments are required: OUT"),
        ("in.png out.png", "one of the arguments --kernel --kernel-file is required"),
        ("in.png out.png --kernel box --kernel-file kernel.txt", "argument --kernel-file: not allowed with .*--kernel"),
        ("in.png out.png --kernel box --unknown", "unrecognized arguments: --unknown"),
        ("in.png more out.png --kernel box", "out.png: does not exist and has the extension of a picture; for many .*"),
        ("in.png in.png kernel.txt --kernel box", "kernel.txt: is a file; for many pictures OUT is a folder"),
        ("'' out.png --kernel box", "the name of a file must not be empty"),
        ("in.png out.png --kernel", "argument --kernel: expected one argument"),
        ("in.png out.png --kernel blur", "no kernel is called 'blur'; the names are identity, edge, .*"),
        ("in.png out.png --kernel 1,2;3", "kernel must have rows of equal length; row 1 has 2, row 2 has 1"),
        ("in.png out.png --kernel 1,x", "kernel must be made of numbers; got 'x'"),
        ("in.png out.png --kernel ;", "kernel must not be empty; got no number"),
        ("in.png out.png --kernel 3e38 --scale 1e-308", ".*(kernel|scale).*"),
        ("in.png out.png --kernel-file none.txt", "none.txt: No such file or directory"),
        ("in.png out.png --kernel-file in.png", "in.png: not a text file in UTF-8"),
        ("in.png out.png --kernel box --mode half", "argument --mode: invalid choice: 'half' .*"),
        ("in.png out.png --kernel box --boundary edge", "argument --boundary: invalid choice: 'edge' .*"),
        ("in.png out.png --kernel box --scale two", "argument --scale: must be a finite number; got 'two'"),
        ("in.png out.png --kernel box --scale 1/0", "argument --scale: must be a finite number; got '1/0'"),
        ("in.png out.png --kernel box --scale 0", "argument --scale: must not be 0; got '0'"),
        ("in.png out.png --kernel box --alpha drop", "argument --alpha: invalid choice: 'drop' .*"),
        (
            "in.png out.png --kernel box --format xyz",
            "argument --format: Pillow cannot write 'xyz'; png works, for example",
        ),
        ("in.png out.png --kernel box --format jpg", "out.png: the extension is of PNG, but the format is JPEG"),
        ("in.png out.png --kernel box --offset nan", "argument --offset: must be a finite number; got 'nan'"),
        ("in.png out.png --kernel box --workers 0", "argument --workers: must be a positive integer; got '0'"),
        ("in.png out.png --kernel box --workers 1.5", "argument --workers: must be a positive integer; got '1.5'"),
        ("in.png out.png --kernel box --fill-value 3", "argument --fill-value: is for --boundary fill only"),
        (
            "in.png out.png --kernel box --boundary fill --fill-value 300",
            r".*fill_value.* 0 .* 255 .*300.*",
        ),
        (
            "in.png out.png --kernel-file tall.txt --mode valid",
            ".*kernel must be no larger than image.*",
        ),
        ("none.png out.png --kernel box", "none.png: No such file or directory"),
        ("kernel.txt out.png --kernel box", "kernel.txt: not a picture, or of a format that Pillow cannot read"),
        ("broken.png out.png --kernel box", r"broken.png: broken picture \(.+\)"),
        ("in.png out --kernel box", "out: no format can be written for the extension '' *;.*"),
        ("in.png out.xyz --kernel box", "out.xyz: no format can be written for the extension '.xyz';.*"),
        ("in.png none/out.png --kernel box", "none/out.png: no such folder: .*none"),
        ("in.png in.png --kernel box", "in.png: would overwrite the input; choose another name"),
        ("in.png ./in.png --kernel box", "./in.png: would overwrite the input; choose another name"),
        ("in.png hard.png --kernel box", "hard.png: would overwrite the input; choose another name"),
        ("none.png none.png --kernel box", "none.png: would overwrite the input; choose another name"),
        ("in.png kernel.png --kernel-file kernel.png", "kernel.png: would overwrite the input; choose another name"),
        ("- none/ --kernel box", "- as IN needs a single OUT, a file or -"),
        ("in.png - - --kernel box", "- as IN needs a single OUT, a file or -"),
        ("in.png in.png - --kernel box", "- as OUT takes a single picture"),
        ("*.tif out/ --kernel box", r"\*\.tif: no picture"),
        ("empty out/ --kernel box", "empty: no picture among 1 files"),
        ("in.png . --kernel box", r"\./in.png: would overwrite the input; choose another name"),
        ("in.png hard.png . --kernel box --force", r"\./in.png: would overwrite the input; choose another name"),
        ("in.png none/../in.png out/ --kernel-file none.txt", "none.txt: No such file or directory"),
        ("demo more", "unrecognized arguments: more"),
        ("demo --size 640", "argument --size: must be WIDTHxHEIGHT, each of 160 .. 2048 pixels; got '640'"),
        ("demo --size 640x100", "argument --size: must be WIDTHxHEIGHT, .*; got '640x100'"),
        ("demo --size 99999x200", "argument --size: must be WIDTHxHEIGHT, .*; got '99999x200'"),
        ("demo --output demo.jpg", "demo.jpg: the demonstration is a PNG; its name must end in .png"),
        ("demo --output none/demo.png", "none/demo.png: no such folder: .*none"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, message):
    os.link("in.png", "hard.png")
    (folder / "kernel.png").write_text("1 2 1")
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("no picture")
    (folder / "tall.txt").write_text("1\n" * 21)
    before = (folder / "in.png").read_bytes()
    assert re.fullmatch(
        message, error_line(["" if argument == "''" else argument for argument in arguments.split()], capsys)
    )
    assert (folder / "in.png").read_bytes() == before


def test_escapes_line_ends_in_error_messages(folder, capsys):
    assert error_line(["a\nb.png", "out.png", "--kernel", "box"], capsys) == r"a\nb.png: No such file or directory"


def test_a_failed_write_keeps_the_existing_file(folder, capsys, monkeypatch):
    (folder / "out.png").write_text("old")

    def fail(self, file, *args, **kwargs):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    line = error_line(["in.png", "out.png", "--kernel", "box", "--force"], capsys)
    assert line == "out.png: cannot be written (No space left on device)"
    assert (folder / "out.png").read_text() == "old"


def test_interrupt_prints_no_traceback(folder, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "filter", interrupt)
    assert main(["in.png", "out.png", "--kernel", "box"]) == 130
    assert capsys.readouterr() == ("", "")
    assert not (folder / "out.png").exists()


def test_memory_error_is_one_line(folder, capsys, monkeypatch):
    def exhaust(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(pictures, "filter", exhaust)
    assert error_line(["in.png", "out.png", "--kernel", "box"], capsys) == "MemoryError"


# The process


HELP = """
import sys
from fastconv.cli.entry import main

asked = ["--help"], ["demo", "--help"], ["--version"], ["--show-kernels"], ["in.png", "out.png", "--kernel", "x"]
print([main(arguments) for arguments in asked])
print(sorted({"numba", "PIL", "tqdm"} & sys.modules.keys()))
"""


def test_help_and_errors_import_no_large_library():
    done = run("-c", HELP)
    assert done.stderr.startswith("fastconv: error: no kernel is called 'x'; ")
    assert done.stdout.splitlines()[-2:] == ["[0, 0, 0, 0, 2]", "[]"]
    assert "--kernel-file PATH" in done.stdout
    assert "sobel-x" in done.stdout
    assert f"fastconv {fastconv.__version__}\n" in done.stdout


def test_exit_status(folder):
    done = run("-m", "fastconv", "in.png", "out.png", "--kernel", "edge")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("in.png: 30 x 20 RGB, kernel 3 x 3\n")
    assert pixels_of("out.png").shape == (20, 30, 3)

    done = run("-m", "fastconv", "broken.png", "out2.png", "--kernel", "edge")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fastconv: error: broken\.png: broken picture \(.+\)\n", done.stderr)
    assert not (folder / "out2.png").exists()


# The demonstration


def test_demo_writes_the_sheet_and_prints_a_table(folder, capsys):
    assert main(["demo", "--size", "200x160"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    sheet = pixels_of("fastconv-demo.png")
    assert f"fastconv-demo.png: {sheet.shape[1]} x {sheet.shape[0]} RGB" in out.splitlines()
    size, corners = sample_picture.sheet_layout(200, 160)
    assert sheet.shape == (size[1], size[0], 3)

    original, *results = [sheet[top : top + 160, left : left + 200] for left, top in corners]
    np.testing.assert_array_equal(original, np.asarray(sample_picture.sample(200, 160)))
    picture = Image.fromarray(original)
    shown = dict(zip([panel.name for panel in demo.panels()], results))
    np.testing.assert_array_equal(shown["sharpen"], np.asarray(pictures.filter(picture, kernels.sharpen())))
    np.testing.assert_array_equal(
        shown["sobel-x"], np.asarray(pictures.filter(picture, kernels.sobel_x() / 4, offset=128))
    )
    edges = np.maximum(*(np.asarray(pictures.filter(picture, sign * kernels.edge())) for sign in (1, -1)))
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


def test_demo_prints_the_time_of_compilation(capsys, monkeypatch):
    times = iter([0, 1.5, 2, 3, 3.25, 4])  # before and after each of two calls, and when to stop
    monkeypatch.setattr(_stopwatch, "time", types.SimpleNamespace(perf_counter=lambda: next(times)))
    stopwatch = _stopwatch.Stopwatch(calls=1)
    assert stopwatch([[7]], [[2]]).tolist() == [[14]]
    assert (stopwatch.best, stopwatch.preparation) == (0.25, 1.25)
    _stopwatch.print_preparation(stopwatch.preparation)
    _stopwatch.print_preparation(0.05)
    assert capsys.readouterr().out == "first call: 1.25 s longer, to compile kernels or load them from the cache\n"


def test_demo_picture_is_reproducible_in_any_size():
    for width, height in ((160, 300), (301, 160)):
        sample = sample_picture.sample(width, height)
        assert (sample.mode, sample.size) == ("RGB", (width, height))
        assert sample.tobytes() == sample_picture.sample(width, height).tobytes()


def test_demo_fails_on_a_wrong_result(folder, capsys, monkeypatch):
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


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_demo_succeeds_if_its_output_is_closed_early(tmp_path):
    target = tmp_path / "sheet.png"
    command = f"{sys.executable} -m fastconv demo --size 160x160 --output {target} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fastconv ")
    with Image.open(target) as sheet:
        assert sheet.width > 3 * 160
