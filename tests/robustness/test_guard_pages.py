"""No engine reads or writes a byte beside what it was given: input, kernel and output between inaccessible pages."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import guarded_arrays, oracle
from tests.guard_page_fuzzer import ENVIRONMENT, ROOT, rounded, sums

pytestmark = pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")

# Problems in each process, of which each is computed in several layouts.
PROBLEMS = 2550

# How many cases each engine, and each way through one, has had at the least.
ENOUGH = {
    "cases": 20_000,
    "x at the upper guard": 9_000,
    "x at the lower guard": 9_000,
    "out at the upper guard": 9_000,
    "out at the lower guard": 9_000,
    "kernel at the upper guard": 9_000,
    "kernel at the lower guard": 9_000,
    "x swapped": 1_000,
    "kernel swapped": 1_000,
    "a plan": 1_000,
    "share": 1_500,
    "direct": 5_000,
    "direct, read in place": 1_000,
    "direct, written in place": 1_000,
    "direct, complex kernel": 300,
    "direct, channels": 1_000,
    "direct, one row": 2_000,
    "direct, one row, read in place": 500,
    "direct, one row, written in place": 500,
    "direct, one row, complex kernel": 200,
    "direct, one row, channels": 200,
    "direct, one row, a group of taps": 300,
    "separable": 1_500,
    "separable, read in place": 300,
    "separable, written in place": 300,
    "separable, channels": 200,
    "pixels": 300,
    "pixels, read in place": 50,
    "pixels, written in place": 50,
    "pixels, channels": 150,
    "premultiplied": 300,
    "fft, both": 500,
    "fft, across": 300,
    "fft, down": 200,
    "fft, four-step": 200,
    "fft, shared plane": 200,
    "trimmed": 60,
    "trim_input": 200,
    "separable, repaired": 50,
    "fft, repaired": 50,
    "numpy": 50,
}


def start(seed, count, output, *options):
    """A process of `tests.guard_page_fuzzer`, whose cases and faults are written to files."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.guard_page_fuzzer", str(seed), str(count), *options]
    with open(output, "w") as out, open(f"{output}.err", "w") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=ENVIRONMENT)


def finish(process, output, timeout=900):
    """What has been counted; a fault fails with the case that it was in."""
    try:
        status = process.wait(timeout)
    finally:
        process.kill()
    told, errors = output.read_text().splitlines(), Path(f"{output}.err").read_text()
    assert status == 0, f"status {status} in the case\n{told[-1] if told else 'before any'}\n{errors}"
    assert errors == ""
    return Counter(json.loads(told[-1]))


def test_nothing_is_read_or_written_outside_of_what_was_given(tmp_path):
    outputs = [tmp_path / f"{seed}" for seed in (1, 2)]
    processes = [start(seed, PROBLEMS, output, "--tell") for seed, output in enumerate(outputs, 1)]
    try:
        counts = sum((finish(*pair) for pair in zip(processes, outputs)), Counter())
    finally:
        for process in processes:
            process.kill()
            process.wait()
    short = {what: counts[what] for what, least in ENOUGH.items() if counts[what] < least}
    assert not short, f"too few of {short}"


FAULT = """
import ctypes, sys
from tests.guarded_arrays import Region
region = Region(100)
array = region.place((5, 7), "f8", upper=sys.argv[1] == "upper")
step = array.nbytes if sys.argv[1] == "upper" else -1
ctypes.string_at(array.ctypes.data + step - (1 if sys.argv[2] == "inside" else 0) * (1 if step > 0 else -1), 1)
"""


@pytest.mark.parametrize("guard", ["upper", "lower"])
def test_one_byte_too_far_ends_a_process(guard):
    for place, fine in (("inside", True), ("outside", False)):
        command = [sys.executable, "-c", FAULT, guard, place]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
        if fine:
            assert (done.returncode, done.stderr) == (0, "")
        else:
            assert -done.returncode in (signal.SIGSEGV, signal.SIGBUS)


DEFECT = """
import ctypes, sys
import numpy as np
from tests import guard_page_fuzzer
from tests.guarded_arrays import PAGE, Region
filled = Region.filled
def one_sample_late(self, values, *arguments):
    array, around = filled(self, values, *arguments)
    if array.flags.c_contiguous and (array.ctypes.data + array.nbytes) % PAGE == 0:
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data + array.itemsize)
        array = np.frombuffer(memory, array.dtype).reshape(array.shape)
    return array, around
Region.filled = one_sample_late
sys.argv = ["guard_page_fuzzer", "1", "20", "--tell"]
guard_page_fuzzer.main()
"""


def test_a_read_too_far_ends_the_process_and_its_case_is_known():
    command = [sys.executable, "-X", "faulthandler", "-c", DEFECT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=ENVIRONMENT)
    assert -done.returncode in (signal.SIGSEGV, signal.SIGBUS)
    assert "Fatal Python error" in done.stderr
    assert "'number': " in done.stdout.splitlines()[-1]


def test_what_is_written_beside_an_array_is_seen():
    region = guarded_arrays.Region(4096)
    for upper in (True, False):
        array = region.empty((3, 4), "i2", (40, 6), upper)
        array[...] = 7
        assert region.untouched(array)
        for beside in (2, 5, -1 if upper else 2 * 40 + 3 * 6 + 2):  # in a gap, and before or after all of it
            array = region.empty((3, 4), "i2", (40, 6), upper)
            first = array.ctypes.data - region.bytes.ctypes.data
            region.bytes[first + beside] ^= 1
            assert not region.untouched(array)


@pytest.mark.parametrize("kind", ["contiguous", "permuted", "stepped", "reversed", "padded", "odd", "any"])
def test_every_layout_touches_its_guard_and_no_two_elements_meet(kind):
    region, chance = guarded_arrays.Region(1 << 20), random.Random(1)
    for _ in range(100):
        shape = tuple(chance.choice((1, 2, 3, 5, 8)) for _ in range(chance.randint(1, 4)))
        dtype = np.dtype(chance.choice(["u1", "i2", "f4", "f8", "c16"]))
        upper = chance.random() < 0.5
        array = region.place(shape, dtype, guarded_arrays.strides_of(chance, shape, dtype.itemsize, kind), upper)
        first = array.ctypes.data - region.bytes.ctypes.data
        places = sum(np.ogrid[tuple(slice(n) for n in shape)][k] * s for k, s in enumerate(array.strides)) + first
        every = np.unique(np.ravel(places)[:, None] + np.arange(dtype.itemsize))
        assert every.size == array.nbytes
        assert every[-1] == region.size - 1 if upper else every[0] == 0


def test_these_sums_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    for mode in oracle.MODES:
        for boundary in oracle.BOUNDARIES:
            for flip in (True, False):
                for shape, taps in (((9,), (4,)), ((3,), (8,)), ((6, 5), (3, 4)), ((2, 3), (7, 5)), ((1, 1), (3, 3))):
                    for dtype in ("u1", "f8", "c16"):
                        x = oracle.whole_numbers(rng, shape, dtype)
                        kernel = oracle.whole_numbers(rng, taps, dtype)
                        fill_value = 3 if boundary == "fill" else 0
                        exact, _ = sums(x, kernel, tuple(range(x.ndim)), mode, boundary, fill_value, flip)
                        expect = oracle.expected(x, kernel, mode, boundary, fill_value, flip)
                        np.testing.assert_array_equal(rounded(exact, expect.dtype), expect)


def test_these_sums_go_along_any_axes():
    rng = np.random.default_rng(2)
    x, kernel = rng.integers(-9, 9, (4, 5, 6)), rng.integers(-9, 9, (3, 2))
    for axes in ((0, 2), (2, 0), (1, 0)):
        exact, _ = sums(x, kernel, axes, "full", "reflect", 0, True)
        (batch,) = {0, 1, 2} - {*axes}
        for k in range(x.shape[batch]):
            plane = x.take(k, batch)
            if axes[0] > axes[1]:
                plane = plane.T
            expect = oracle.expected(plane, kernel, "full", "reflect").astype(np.float64)
            found = exact.take(k, batch)
            np.testing.assert_array_equal(found.T if axes[0] > axes[1] else found, expect)
