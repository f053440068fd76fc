"""Convolve a zarr array larger than memory by the command, and check the results and the memory that it took.

``python -m tests.dask.beyond_memory --gigabytes 4 --most 1.2``
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

import fastconv

CHUNK, TAPS = 1024, 9
# Run the command that is given, and print its exit status and the kilobytes that it took at most.
_MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, flush=True)
os._exit(0)  # without a warning about the process that has been waited for
"""


def samples(rows, columns):
    """Samples of a pattern without periods of the chunks."""
    i, j = np.arange(*rows)[:, np.newaxis], np.arange(*columns)
    return ((i * 7 + j * 13 + (i * j) % 1009) % 251).astype(np.float32)


def write(path, side):
    """Write an array of ``side * side`` float32, chunk by chunk."""
    array = zarr.open_array(path, mode="w", shape=(side, side), chunks=(CHUNK, CHUNK), dtype="f4")
    for i in range(0, side, CHUNK):
        for j in range(0, side, CHUNK):
            array[i : i + CHUNK, j : j + CHUNK] = samples((i, i + CHUNK), (j, j + CHUNK))


def check(path, kernel, side):
    """Check windows of the result that lie across the corners of chunks, and at those of the array."""
    out, half = zarr.open_array(path, mode="r"), TAPS // 2
    assert out.shape == (side, side)
    rng = np.random.default_rng(1)
    corners = [(0, 0), (side, 0), (0, side), (side, side)]
    corners += [tuple(CHUNK * rng.integers(1, side // CHUNK, 2)) for _ in range(40)]
    for corner in corners:
        (top, bottom), (left, right) = ((max(0, at - 20), min(side, at + 20)) for at in map(int, corner))
        around = [(max(0, low - half), min(side, high + half)) for low, high in ((top, bottom), (left, right))]
        whole = fastconv.convolve2d(samples(*around), kernel, "same", boundary="reflect", method="direct")
        inner = tuple(slice(low - a, high - a) for (low, high), (a, _) in zip(((top, bottom), (left, right)), around))
        np.testing.assert_allclose(out[top:bottom, left:right], whole[inner], rtol=1e-5)


def run(folder, gigabytes, most):
    """Write, convolve by the command, and check; return seconds, and gigabytes of memory at most."""
    side = max(2, round((gigabytes * 1e9 / 4) ** 0.5 / CHUNK)) * CHUNK
    source, target = Path(folder) / "in.zarr", Path(folder) / "out.zarr"
    write(source, side)
    kernel = np.random.default_rng(2).random((TAPS, TAPS)).astype(np.float32)
    rows = "; ".join(" ".join(map(str, row)) for row in kernel)
    start = time.perf_counter()
    command = [sys.executable, "-m", "fastconv", source, target, "--kernel", rows, "--workers", "2"]
    # The memory of a process begins with that of its parent: another one, which is small, starts the command.
    parent = [sys.executable, "-c", _MEASURE, *map(str, command)]
    status, kilobytes = subprocess.run(parent, stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    seconds = time.perf_counter() - start
    assert status == "0"
    check(target, kernel, side)
    used = int(kilobytes) * 1024 / 1e9
    assert used <= most, f"{used:.2f} GB of memory instead of {most}"
    return seconds, used


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--most", type=float, default=1.2, help="gigabytes of memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, used = run(folder, options.gigabytes, options.most)
    print(f"{options.gigabytes} GB by {TAPS} x {TAPS} taps in {seconds:.1f} s, within {used:.2f} GB of memory: right")


if __name__ == "__main__":
    main()
