"""The command for zarr arrays and .npy files."""

import os

import numpy as np
import pytest
import zarr

from fastconv import image, kernels
from fastconv.cli import part_by_part, stored_arrays
from fastconv.cli.entry import main
from tests.cli import interrupts
from tests.sample_calls import run


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """A working directory with a zarr array and a .npy file of the same content, which is returned."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stored_arrays, "CHUNK", 4000)  # several tasks
    values = np.random.default_rng(0).integers(0, 256, (3, 70, 90)).astype(np.uint8)
    array = zarr.open_array("in.zarr", mode="w", shape=values.shape, chunks=(1, 20, 30), dtype=values.dtype)
    array[:] = values
    array.attrs["unit"] = "nm"
    np.save("in.npy", values)
    return values


def read(path):
    return np.load(path) if path.endswith(".npy") else zarr.open_array(path, mode="r")[:]


@pytest.mark.parametrize("source", ["in.zarr", "in.npy"])
@pytest.mark.parametrize("target", ["out.zarr", "out.npy"])
def test_files(volume, capsys, source, target):
    kernel = kernels.gaussian(sigma=1.5)
    for mode in ("same", "full", "valid"):
        options = ["--kernel", "gaussian", "--sigma", "1.5", "--mode", mode, "--boundary", "mirror", "--force"]
        assert main([source, target, *options]) == 0
        np.testing.assert_array_equal(
            read(target), image.filter(volume, kernel, axes=(1, 2), mode=mode, boundary="mirror")
        )
    assert capsys.readouterr().out.startswith(f"{source}: 3 x 70 x 90 uint8, kernel 13 x 13\n{target}: 3 x ")
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_chunks_format_and_attributes_are_those_of_the_input(volume):
    assert main(["in.zarr", "out.zarr", "--kernel", "box"]) == 0
    made = zarr.open_array("out.zarr", mode="r")
    assert (made.chunks, made.dtype, dict(made.attrs)) == ((1, 20, 30), np.uint8, {"unit": "nm"})
    old = zarr.open_array("old.zarr", mode="w", shape=(50, 60), chunks=(20, 20), dtype="f4", zarr_format=2)
    old[:] = 1
    assert main(["old.zarr", "older.zarr", "--kernel", "box"]) == 0
    made = zarr.open_array("older.zarr", mode="r")
    assert made.metadata.zarr_format == 2
    np.testing.assert_allclose(made[:], 1, rtol=1e-6)


def test_arrays_in_groups(volume):
    group = zarr.open_group("scans.zarr", mode="w")
    group.create_array("0", shape=volume.shape, chunks=(1, 30, 30), dtype=volume.dtype)[:] = volume
    assert main(["scans.zarr/0", "scans.zarr/1", "--kernel", "sharpen", "--axes", "0,-1"]) == 0
    np.testing.assert_array_equal(read("scans.zarr/1"), image.filter(volume, kernels.sharpen(), axes=(0, 2)))


def test_missing_samples_and_options_of_sums(volume):
    values = volume[0].astype("f4")
    values[3:5, 7:30] = np.nan
    np.save("holes.npy", values)
    options = ["--nodata", "nan", "--kernel", "gaussian", "--offset", "3", "--workers", "2"]
    assert main(["holes.npy", "out.npy", *options]) == 0
    whole = image.filter(values, kernels.gaussian(), nan="ignore", offset=3)
    np.testing.assert_allclose(read("out.npy"), whole, rtol=1e-5)


def test_an_interrupt_leaves_no_files(volume):
    interrupts.leaves_no_files(lambda: main(["in.zarr", "out.zarr", "--kernel", "gaussian"]))


@pytest.mark.parametrize(("missing", "paths"), [("zarr", ["in.zarr", "out.zarr"]), ("dask", ["in.npy", "out.npy"])])
def test_a_missing_extra_is_named(volume, missing, paths):
    code = """
import sys
sys.modules[sys.argv[1]] = None  # as if not installed
from fastconv.cli.entry import main
print(main([*sys.argv[2:], "--kernel", "box"]))
"""
    done = run(code, missing, *paths)
    assert done.stdout == "2\n"
    assert "pip install 'fastconv[dask]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_errors_leave_no_files(volume, capsys, monkeypatch):
    monkeypatch.setattr(part_by_part, "SECONDS_TO_CONNECT", 0.5)
    np.save("line.npy", np.ones(5))
    np.save("complex.npy", np.ones((5, 5), complex))
    os.mkdir("no.zarr")
    cases = [
        (["in.zarr", "in.npy"], "in.npy: exists; --force replaces it"),
        (["in.zarr", "in.zarr", "--force"], "in.zarr: would overwrite the input in.zarr"),
        (["in.zarr", "in.zarr/0"], "in.zarr/0: would overwrite the input in.zarr"),
        (["in.zarr", "out.png"], "out.png: must be a zarr array or a .npy file"),
        (["in.zarr", "in.npy", "out.zarr"], "got more than one IN"),
        (["none.zarr", "out.zarr"], "none.zarr: No such file or directory"),
        (["none.npy", "out.zarr"], "none.npy: No such file or directory"),
        (["no.zarr", "out.zarr"], "no.zarr: is not a zarr array"),
        (["line.npy", "out.npy"], "line.npy: must have at least two axes"),
        (["complex.npy", "out.npy"], "got dtype complex128"),
        (["in.zarr", "out.zarr", "--compare"], "argument --compare: is for pictures only"),
        (["in.zarr", "out.zarr", "--alpha", "keep"], "argument --alpha: is for pictures only"),
        (["in.zarr", "out.zarr", "--nodata", "3"], "argument --nodata: must be nan"),
        (["in.zarr", "out.zarr", "--nodata", "nan", "--kernel", "log"], "argument --nodata: is for kernels whose taps"),
        (["in.zarr", "out.zarr", "--axes", "0,1,2"], "argument --axes: must be two integers, as 0,1, or one"),
        (["in.zarr", "out.zarr", "--axes", "0,5"], "axes must lie in -3 .. 2"),
        (["in.zarr", "out.zarr", "--cluster", "tcp://127.0.0.1:1"], "argument --cluster: no scheduler answers"),
        (["in.png", "out.png", "--cluster", "tcp://127.0.0.1:1"], "argument --cluster: is for zarr arrays"),
    ]
    before = sorted(os.listdir())
    for arguments, words in cases:
        assert main([*arguments, *["--kernel", "box"] * ("--kernel" not in arguments)]) == 2, arguments
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
        assert sorted(os.listdir()) == before, arguments
