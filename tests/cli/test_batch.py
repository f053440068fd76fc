"""The command `fastconv` with many pictures: failures, interrupts, file names and permissions."""

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from fastconv import image as pictures
from fastconv import kernels
from fastconv.cli import conversion, picture_reading, picture_writing
from fastconv.cli.entry import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a folder of five pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(5):
        save_random(f"in/{number}.png", seed=number)
    return tmp_path


def save_random(path, shape=(20, 30, 3), seed=0, **options):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)).save(path, **options)


def assert_blurred(source, target):
    with Image.open(source) as before, Image.open(target) as after:
        np.testing.assert_array_equal(np.asarray(after), np.asarray(pictures.filter(before, kernels.box())))


def files(folder):
    return sorted(name for _, _, names in os.walk(folder) for name in names)


def errors(capsys):
    """Return the errors on stderr, and the last line on stdout."""
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert all(line.startswith("fastconv: error: ") for line in lines)
    return [line[len("fastconv: error: ") :] for line in lines], out.splitlines()[-1]


@pytest.mark.parametrize("workers", [[], ["--workers", "1"], ["--workers", "3"], ["--workers", "64"]])
def test_converts_a_folder_with_any_number_of_workers(folder, capsys, workers):
    (folder / "in" / "notes.txt").write_text("no picture")
    assert main(["in", "out", "--kernel", "box", *workers]) == 0
    for number in range(5):
        assert_blurred(f"in/{number}.png", f"out/{number}.png")
    assert len(files("out")) == 5
    out, err = capsys.readouterr()
    assert err == ""
    seconds = r"\d+\.\d+ m?s"
    assert re.fullmatch(rf"out: 5 of 5 pictures in {seconds}, \d+\.\d a second; 1 other files ignored\n", out)


def test_keeps_subfolders(folder):
    (folder / "in" / "sub").mkdir()
    save_random("in/sub/0.png", seed=9)
    assert main(["in", "new/out", "--kernel", "box", "--recursive"]) == 0
    assert_blurred("in/sub/0.png", "new/out/sub/0.png")
    assert_blurred("in/0.png", "new/out/0.png")


def test_converts_to_another_format(folder):
    assert main(["in/*.png", "out", "--kernel", "box", "--format", "tif"]) == 0
    assert files("out") == [f"{number}.tif" for number in range(5)]
    with Image.open("out/0.tif") as image:
        assert image.format == "TIFF"
    assert_blurred("in/0.png", "out/0.tif")


def test_writes_one_file_into_a_new_folder(folder, capsys):
    assert main(["in/0.png", "new/", "--kernel", "box"]) == 0
    assert_blurred("in/0.png", "new/0.png")
    assert capsys.readouterr().out.splitlines()[-1] == "new/0.png: 30 x 20 RGB"


def test_reports_failures_at_the_end_and_converts_the_other_pictures(folder, capsys):
    data = (folder / "in" / "1.png").read_bytes()
    (folder / "in" / "1.png").write_bytes(data[: len(data) // 2])
    save_random("in/long.jpg", (200, 200))
    data = (folder / "in" / "long.jpg").read_bytes()
    (folder / "in" / "long.jpg").write_bytes(data[: len(data) // 2])
    (folder / "in" / "empty.gif").touch()
    (folder / "in" / "text.tif").write_text("no picture")
    (folder / "in" / "layers.psd").write_bytes(b"")
    assert main(["in", "none.png", "out", "--kernel", "box"]) == 1
    assert files("out") == ["0.png", "2.png", "3.png", "4.png"]
    lines, last = errors(capsys)

    def in_(name):
        return re.escape(os.path.join("in", name))

    expected = [
        rf"{in_('1.png')}: broken picture \(.+\)",
        rf"{in_('empty.gif')}: not a picture, or of a format that Pillow cannot read",
        r"out.layers\.psd: no format can be written for the extension '\.psd'; \.png works, for example",
        rf"{in_('long.jpg')}: broken picture \(image file is truncated.*\)",
        rf"{in_('text.tif')}: not a picture, or of a format that Pillow cannot read",
        r"none\.png: No such file or directory",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected):
        assert re.search(pattern, line), line
    assert last.startswith("out: 4 of 10 pictures in ")
    first = ", ".join(os.path.join("in", name) for name in ("1.png", "empty.gif", "layers.psd", "long.jpg", "text.tif"))
    assert last.endswith(f"; 6 failed: {first} and 1 more")


def test_errors_of_the_convolution_name_the_picture(folder, capsys):
    save_random("in/small.png", (2, 9))
    assert (
        main(["in", "out", "--kernel", "1;" * 9, "--mode", "valid", "--boundary", "fill", "--fill-value", "300"]) == 1
    )
    lines, _ = errors(capsys)
    assert [line.split(": ")[0] for line in lines] == [os.path.join("in", name) for name in files("in")]


def test_existing_files_are_reported_and_kept(folder, capsys):
    (folder / "out").mkdir()
    (folder / "out" / "1.png").write_text("old")
    assert main(["in", "out", "--kernel", "box"]) == 1
    assert errors(capsys)[0] == [f"{os.path.join('out', '1.png')}: already exists; --force replaces it"]
    assert (folder / "out" / "1.png").read_text() == "old"
    assert_blurred("in/2.png", "out/2.png")
    assert main(["in", "out", "--kernel", "box", "--force"]) == 0
    assert_blurred("in/1.png", "out/1.png")


def test_a_picture_that_would_overwrite_the_result_of_another_fails_alone(folder, capsys):
    save_random("0.png", seed=77)
    assert main(["in", "0.png", "out", "--kernel", "box"]) == 1
    lines, summary = errors(capsys)
    target, source = os.path.join("out", "0.png"), os.path.join("in", "0.png")
    assert lines == [f"0.png: would overwrite {target}, the result of {source}"]
    assert re.fullmatch(r"out: 5 of 6 pictures in .* a second; 1 failed: 0\.png", summary)
    assert files("out") == files("in")
    assert_blurred("in/0.png", "out/0.png")


def test_the_summary_names_the_first_failures(folder, capsys):
    for number in range(5, 12):
        (folder / "in" / f"{number:02}.png").write_text("no picture")
    assert main(["in", "out", "--kernel", "box"]) == 1
    names = ", ".join(os.path.join("in", f"{number:02}.png") for number in range(5, 10))
    assert errors(capsys)[1].endswith(f"; 7 failed: {names} and 2 more")


def test_holds_at_most_one_picture_per_worker(folder, monkeypatch):
    for number in range(5, 20):
        save_random(f"in/{number}.png")
    lock, most, now, given = threading.Lock(), 0, 0, set()
    real_load, real_filter, real_save = picture_reading.load_pages, pictures.filter, picture_writing.Writer.save

    def load(*args):
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        return real_load(*args)

    def filter_(*args, workers, **options):
        given.add(workers)
        return real_filter(*args, workers=workers, **options)

    def save(*args):
        nonlocal now
        real_save(*args)
        with lock:
            now -= 1

    monkeypatch.setattr(picture_reading, "load_pages", load)
    monkeypatch.setattr(picture_writing.Writer, "save", save)
    monkeypatch.setattr(pictures, "filter", filter_)
    assert main(["in", "out", "--kernel", "box", "--workers", "3"]) == 0
    assert 1 <= most <= 3
    assert given == {1}
    given.clear()
    assert main(["in/1.png", "in/2.png", "out2", "--kernel", "box", "--workers", "7"]) == 0
    assert given == {3}
    given.clear()
    assert main(["in/1.png", "out3/", "--kernel", "box", "--workers", "7"]) == 0
    assert given == {7}


def test_unexpected_exceptions_reach_the_caller(folder, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(pictures, "filter", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["in", "out", "--kernel", "box"])
    assert files("out") == []


def test_memory_error_of_one_picture_is_reported(folder, capsys, monkeypatch):
    real = pictures.filter

    def exhaust(image, *args, **options):
        if image.width == 31:
            raise MemoryError
        return real(image, *args, **options)

    save_random("in/wide.png", (20, 31))
    monkeypatch.setattr(pictures, "filter", exhaust)
    assert main(["in", "out", "--kernel", "box"]) == 1
    assert errors(capsys)[0] == [f"{os.path.join('in', 'wide.png')}: MemoryError"]
    assert len(files("out")) == 5


RAISING = """
import sys
from fastconv import image
from fastconv.cli.entry import main

real, raised = image.filter, []

def fail_once(*args, **options):
    if not raised:
        raised.append(True)
        raise {}
    return real(*args, **options)

image.filter = fail_once
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [["in", "out", "--workers", "2"], ["in/0.png", "out/"]])
@pytest.mark.parametrize(
    ("error", "status", "last_line"),
    [
        ("KeyboardInterrupt", 130, r""),
        ("GeneratorExit", 1, r"GeneratorExit"),
        ("SystemExit", 1, r"RuntimeError: in/\d\.png: the conversion raised SystemExit\(\)"),
        ("SystemExit(3)", 1, r"RuntimeError: in/\d\.png: the conversion raised SystemExit\(3\)"),
        ("type('Own', (BaseException,), {})", 1, r"Own"),
    ],
)
def test_base_exception_in_a_worker_ends_the_command(folder, arguments, error, status, last_line):
    command = [sys.executable, "-c", RAISING.format(error), *arguments, "--kernel", "box"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert re.fullmatch(last_line, done.stderr.splitlines()[-1] if done.stderr else "")
    assert not [name for name in files("out") if name.startswith(".")]


def test_does_not_wait_for_killed_workers(folder, monkeypatch):
    # As if the threads had been killed.
    monkeypatch.setattr(threading.Thread, "run", lambda self: None)
    with pytest.raises(RuntimeError, match="all workers ended before all pictures were converted"):
        main(["in", "out", "--kernel", "box"])


def test_reports_that_no_thread_can_be_started(folder, capsys, monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert main(["in", "out", "--kernel", "box"]) == 2
    assert capsys.readouterr().err == "fastconv: error: cannot start a thread\n"


# Ctrl-C


SLOW = r"""
import os, signal, sys, time
from PIL import Image
from fastconv.cli.entry import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored

real = Image.Image.save
def slow(self, file, *args, **options):
    real(self, file, *args, **options)
    file.flush()
    os.write(1, b"writing\n")
    time.sleep(60)

Image.Image.save = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("arguments", [["in", "out"], ["in/0.png", "out/"]])
def test_interrupt_stops_at_once_and_leaves_no_files(folder, arguments):
    command = [sys.executable, "-c", SLOW, *arguments, "--kernel", "box", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        assert files("out")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)  # it does not wait for running conversions
    assert (process.returncode, err) == (130, "")
    assert files("out") == []


# Progress bar


class Terminal:
    """A stderr that is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_progress_bar_is_shown_on_a_terminal(folder, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["in", "out", "--kernel", "box"]) == 0
    assert re.search(r"5/5 \[.* pictures/s\]", sys.stderr.text)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["in/0.png", "one/", "--kernel", "box"]) == 0
    assert sys.stderr.text == ""


# Unusual pictures


def test_reports_decompression_bombs(folder, capsys, monkeypatch):
    save_random("in/bomb.png", (30, 31))
    save_random("in/doubt.png", (20, 31))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 450)  # the five others have 600
    assert main(["in", "out", "--kernel", "box"]) == 1
    assert errors(capsys)[0] == [
        f"{os.path.join('in', 'bomb.png')}: too many pixels (more than 900); --max-pixels allows more"
    ]
    assert len(files("out")) == 6


def test_keeps_16_bits(folder):
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    Image.fromarray(pixels).save("in/deep.png")
    assert main(["in/deep.png", "out/", "--kernel", "0 1 0"]) == 0
    with Image.open("out/deep.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_keeps_cmyk_if_the_format_can_hold_it(folder):
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 1, 4)).astype(np.uint8), 30, 1)
    Image.frombytes("CMYK", (30, 1), pixels.tobytes()).save("in/print.jpg", quality=95)
    for target in ("out.jpg", "out.png"):
        assert main(["in/print.jpg", target, "--kernel", "box"]) == 0
    with Image.open("in/print.jpg") as before, Image.open("out.jpg") as after, Image.open("out.png") as screen:
        assert after.mode == "CMYK"
        assert abs(np.asarray(after).astype(int) - np.asarray(before)).max() <= 2
        assert screen.mode == "RGB"
        assert abs(np.asarray(screen).astype(int) - np.asarray(before.convert("RGB"))).max() <= 2


def test_keeps_one_bit(folder):
    Image.fromarray(np.random.default_rng(0).random((20, 30)) > 0.5).save("in/scan.tif", compression="group4")
    assert main(["in/scan.tif", "out/", "--kernel", "0 1 0"]) == 0
    with Image.open("out/scan.tif") as after, Image.open("in/scan.tif") as before:
        assert (after.mode, after.info["compression"]) == ("1", "group4")
        assert after.tobytes() == before.tobytes()


def test_converts_a_transparent_palette_to_rgba(folder):
    image = Image.new("P", (30, 20))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 15, 20))
    image.save("in/logo.gif", transparency=0)
    assert main(["in/logo.gif", "out/", "--kernel", "0 1 0"]) == 0
    with Image.open("out/logo.gif") as after:
        shown = after.convert("RGBA")
        assert shown.getpixel((20, 5))[3] == 0
        assert shown.getpixel((5, 5)) == (0, 255, 0, 255)


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are bytes")
def test_accepts_unusual_file_names(folder, capfd):
    names = [b"a b.png", b"a\nb.png", b"-a.png", b"\xff\xfe.png", b"\x1b[1m.png", "Zoë.png".encode()]
    os.mkdir("odd")
    for name in names:
        save_random(os.path.join("odd", os.fsdecode(name)))
    assert main(["odd", "out", "--kernel", "box"]) == 0
    assert sorted(os.listdir(b"out")) == sorted(names)
    assert main(["odd", "out", "--kernel", "box"]) == 1
    err = capfd.readouterr().err
    assert "\x1b" not in err
    assert len(err.splitlines()) == len(names)
    assert r"out/a\nb.png: already exists" in err
    for name in names:
        assert main([os.path.join("odd", os.fsdecode(name)), "one/", "--kernel", "box"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 3 * len(names)


# Permissions


@contextlib.contextmanager
def unprivileged():
    """Run as a user without superuser rights, so that permissions apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(monkeypatch):
    """A working directory with three pictures, writable for any user."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        monkeypatch.chdir(name)
        os.mkdir("in")
        for number in range(3):
            save_random(f"in/{number}.png")
        main(["in", "warm", "--kernel", "box"])  # the cache folder may be readable for this user only
        yield


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize("arguments", [["in", "closed"], ["in/0.png", "closed"], ["in", "closed/new"]])
def test_reports_a_folder_without_write_permission(shared, capsys, arguments):
    os.mkdir("closed", 0o555)
    capsys.readouterr()
    with unprivileged():
        assert main([*arguments, "--kernel", "box"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"fastconv: error: {arguments[1]}: cannot be written to (Permission denied)\n")
    assert os.listdir("closed") == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_reports_a_file_without_read_permission(shared, capsys):
    os.chmod("in/1.png", 0)
    capsys.readouterr()
    with unprivileged():
        assert main(["in", "out", "--kernel", "box"]) == 1
        assert main(["in/0.png", "in/1.png", "out2", "--kernel", "box"]) == 1
    assert errors(capsys)[0] == ["in/1.png: Permission denied"] * 2
    assert files("out") == ["0.png", "2.png"]
    mode = stat.S_IMODE(os.stat("out/0.png").st_mode)
    assert mode == stat.S_IMODE(os.stat("warm/0.png").st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
def test_follows_symbolic_links(folder, capsys):
    os.symlink("0.png", "in/5.png")
    os.symlink("none", "in/6.png")
    os.mkdir("out")
    os.symlink("../there.png", "out/1.png")
    os.symlink(os.path.join("..", "in", "0.png"), "out/2.png")
    assert main(["in", "out", "--kernel", "box"]) == 2  # out/2.png is an input
    assert "would overwrite the input" in capsys.readouterr().err
    os.unlink("out/2.png")
    assert main(["in", "out", "--kernel", "box"]) == 1
    assert errors(capsys)[0] == ["in/6.png: No such file or directory"]
    assert os.path.islink("out/1.png")
    assert_blurred("in/1.png", "there.png")
    assert_blurred("in/0.png", "out/5.png")
    assert not os.path.islink("out/5.png")


def test_side_by_side_joins_single_pixels():
    both = conversion.side_by_side(Image.new("L", (1, 1), 3), Image.new("L", (1, 1), 4))
    assert np.asarray(both).tolist() == [[3, 0, 4]]
