"""Engines access no byte beside their arrays, which lie between inaccessible pages."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import guarded_arrays
from tests.guard_page_fuzzer import ENVIRONMENT, ROOT

pytestmark = pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")

# Problems for each process; each is computed in several layouts.
PROBLEMS = 3000

# Minimum number of cases of each path.
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
    "direct, one row, a group of taps": 200,
    "planes": 1_500,
    "planes, several axes of planes": 150,
    "planes, phases of rows": 50,
    "planes, phases of columns": 400,
    "planes, columns taken in vectors": 300,
    "planes, every second column": 200,
    "planes, kernels": 150,
    "planes, partial sums": 100,
    "planes, read in place": 200,
    "planes, written in place": 800,
    "planes, complex kernel": 100,
    "planes, channels": 80,
    "planes, lines": 500,
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
    "fft, down": 150,
    "fft, four-step": 100,
    "fft, shared plane": 100,
    "trimmed": 60,
    "trim_input": 200,
    "separable, repaired": 50,
    "fft, repaired": 50,
    "numpy": 50,
    "windows, u": 200,
    "windows, i": 100,
    "windows, f": 100,
    "windows, u deviations": 80,
    "windows, f deviations": 40,
    "small windows": 60,
    "small windows, gradients": 20,
}


def start(seed, count, output, *options):
    """Start the fuzzer in a process that writes its output and faults to files."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.guard_page_fuzzer", str(seed), str(count), *options]
    with open(output, "w") as out, open(f"{output}.err", "w") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=ENVIRONMENT)


def finish(process, output, timeout=900):
    """Return the counts of paths; fail with the case of a fault."""
    try:
        status = process.wait(timeout)
    finally:
        process.kill()
    told, errors = output.read_text().splitlines(), Path(f"{output}.err").read_text()
    assert status == 0, f"status {status} in the case\n{told[-1] if told else 'before any'}\n{errors}"
    assert errors == ""
    return Counter(json.loads(told[-1]))


def test_engines_access_only_their_arrays(tmp_path):
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


ROUNDED = """
import random, sys
import numpy as np
from fastconv._engines import cost_model
from fastconv._planning.ndimage import scipy_order
from fastconv._planning.ndimage.nd_correlation import Filter
from fastconv._runtime.instrumentation import forced, observed
from tests.guard_page_fuzzer import GuardedTables, guarded_scratch
from tests.guarded_arrays import Region, strides_of

cost_model.PRODUCTS_FOR_THREADS = 0
chance, kinds = random.Random(int(sys.argv[1])), ("contiguous", "permuted", "stepped", "reversed", "padded")
regions, tables, passes = [Region(1 << 22) for _ in range(6)], GuardedTables(), 0


def weights_of(shape, number):
    weights = np.random.default_rng(chance.randrange(1 << 30)).standard_normal(shape)
    if len(shape) == 1 and shape[0] % 2 and chance.random() < 0.7:
        weights = weights + chance.choice((1, -1)) * weights[::-1]
    return regions[number].filled(weights, None, chance.random() < 0.5)[0]


for number in range(int(sys.argv[2])):
    ndim = chance.randint(1, 3)
    shape = tuple(chance.randint(1, (700, 90, 24)[ndim - 1]) for _ in range(ndim))
    dtype, result = (np.dtype(chance.choice(("f8", "f4", "u1", "i2", "D"))) for _ in range(2))
    if "D" in (dtype.char, result.char):
        dtype = result = np.dtype("D")
    values = (np.random.default_rng(number).standard_normal(shape) * 100).astype(dtype)
    strides = strides_of(chance, shape, dtype.itemsize, chance.choice(kinds))
    x, _ = regions[0].filled(values, strides, number % 2 == 0)
    strides = strides_of(chance, shape, result.itemsize, chance.choice(kinds))
    out = regions[1].empty(shape, result, strides, number % 3 == 0)
    expected, boundary = np.empty(shape, result), chance.randrange(6)
    fill = 2.5 if boundary == 1 else 0.0
    filters = []
    for k in range(chance.randint(1, 3)):
        taps, axis = chance.randint(1, 30), chance.randrange(ndim)
        first = chance.randint(1 - taps, 0)
        filters.append(Filter(weights_of((taps,), 2 + k), (axis,), (first,), boundary, fill))
    block = (chance.randint(1, 9), chance.randint(1, 80)) if chance.random() < 0.5 else (64, 1024)
    print(number, shape, dtype, result, filters, block, flush=True)
    with forced(scratch=guarded_scratch, tables=tables, cpus=2, block=block), observed() as events:
        before = values
        for filter in filters:
            scipy_order.lines_in_numpy(before, filter, expected, "store")
            before = expected.copy()
        scipy_order.correlate_lines(x, filters, out)
        assert np.array_equal(out, expected)
        assert regions[1].untouched(out)
        if dtype.kind != "c":
            extents = tuple(chance.randint(1, 5) for _ in shape)
            firsts = tuple(chance.randint(1 - extent, 0) for extent in extents)
            filter = Filter(weights_of(extents, 5), tuple(range(ndim)), firsts, boundary, fill)
            filter.weights[np.random.default_rng(number).random(extents) < 0.2] = 0
            for slot in np.ndindex(*[-(-extent // 9) for extent in shape]):
                part = tuple(slice(9 * k, min(9 * k + 9, extent)) for k, extent in zip(slot, shape))
                scipy_order.correlate_block(values, filter, part, expected)
            scipy_order.correlate(x, filter, out)
            assert np.array_equal(out, expected)
            assert regions[1].untouched(out)
    passes += sum(event.name == "rounded" for event in events)
print(passes)
"""


def test_rounded_engines_stay_within_their_arrays():
    command = [sys.executable, "-X", "faulthandler", "-c", ROUNDED, "1", "400"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600, env=ENVIRONMENT)
    told = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, ""), f"in the case {told[-1] if told else 'before any'}"
    assert int(told[-1]) > 400


FAULT = """
import ctypes, sys
from tests.guarded_arrays import Region
region = Region(100)
array = region.place((5, 7), "f8", upper=sys.argv[1] == "upper")
step = array.nbytes if sys.argv[1] == "upper" else -1
ctypes.string_at(array.ctypes.data + step - (1 if sys.argv[2] == "inside" else 0) * (1 if step > 0 else -1), 1)
"""


@pytest.mark.parametrize("guard", ["upper", "lower"])
def test_access_to_a_guard_page_ends_the_process(guard):
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


def test_fuzzer_reports_the_case_of_an_invalid_read():
    command = [sys.executable, "-X", "faulthandler", "-c", DEFECT]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=ENVIRONMENT)
    assert -done.returncode in (signal.SIGSEGV, signal.SIGBUS)
    assert "Fatal Python error" in done.stderr
    assert "'number': " in done.stdout.splitlines()[-1]


def test_writes_beside_an_array_are_detected():
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
def test_layouts_touch_the_guard_and_do_not_overlap(kind):
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
