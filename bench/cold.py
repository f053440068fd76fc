"""What is paid once: import, first results, and the memory beside input and output.

    python -m bench.cold [--runs N] [--json FILE] [--markdown FILE]

Every figure comes from fresh interpreters. Times are those of whole processes, from their start to their end, unless
said otherwise; the kinds of process take turns, and the medians are told.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from bench import roofline

_IMPORT = """
import time, numpy
start = time.perf_counter()
import fastconv
print(time.perf_counter() - start)
"""

_FIRST_RESULT = """
import numpy as np
import fastconv
x = np.ones({shape}, np.{dtype})
fastconv.{function}(x, x[{kernel}], "same")
"""

# The first call compiles, or loads from the cache, on an array as small as can be. Then input and output are touched,
# so that all their pages are there, and the high-water mark is as high as they are. All that comes on top is ours.
_MEMORY = """
import resource
import numpy as np
import fastconv

def prepared(shape):
    return np.ones(shape, np.float32){layout}, np.ones({kernel}, np.float32), np.ones(shape, np.float32)

x, kernel, out = prepared({small})
fastconv.{function}(x, kernel, "same", out=out)
x, kernel, out = prepared({shape})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fastconv.{function}(x, kernel, "same", out=out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class Row(NamedTuple):
    """One figure; a target of None is a figure to know, not to reach."""

    what: str
    value: float
    unit: str
    target: float | None = None

    def cells(self) -> list[str]:
        met = "" if self.target is None else "yes" if self.value <= self.target else "**no**"
        target = "" if self.target is None else f"{self.target:g} {self.unit}"
        return [self.what, f"{self.value:.3g} {self.unit}", target, met]


class Cold:
    """Runs code in fresh interpreters, with folders of its own for what they cache."""

    def __init__(self, folder: Path):
        self._folder = folder
        # Bytecode is cached as after an installation, even where the environment forbids it, and nowhere but here.
        self._environment = dict(os.environ, PYTHONPYCACHEPREFIX=str(folder / "bytecode"))
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.kernels = self._new_folder("kernels-")

    def _new_folder(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self._folder))

    def run(self, code: str, kernels: Path | None = None) -> str:
        """Run `code` with this folder of compiled kernels, and return what it prints."""
        environment = dict(self._environment, FASTCONV_CACHE_DIR=str(kernels or self.kernels))
        # Away from the repository, which would be on the path: fastconv is to be found where it is installed.
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, cwd=self._folder, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout

    def seconds(self, code: str) -> float:
        """Seconds of the whole process, which finds in the cache whatever it needs."""
        cached = sorted(self.kernels.iterdir())
        start = time.perf_counter()
        self.run(code)
        seconds = time.perf_counter() - start
        if sorted(self.kernels.iterdir()) != cached:
            raise RuntimeError("a full cache was not enough; have the sources of fastconv changed meanwhile?")
        return seconds

    def seconds_with_empty_cache(self, code: str) -> float:
        """Seconds of the whole process, which has to compile."""
        kernels = self._new_folder("empty-")
        start = time.perf_counter()
        self.run(code, kernels)
        seconds = time.perf_counter() - start
        if not any(kernels.iterdir()):
            raise RuntimeError("fastconv has not cached what it compiled: there is no such thing as a full cache")
        return seconds


def times(cold: Cold, runs: int) -> list[Row]:
    """Import, and the first result of each type with an empty and with a full cache."""
    firsts = {}
    for dtype in ("float32", "float64", "uint8"):
        options = {"shape": "(64, 64)", "dtype": dtype, "function": "convolve2d", "kernel": ":5, :5"}
        firsts[f"{dtype}, 2-D"] = _FIRST_RESULT.format(**options)
    options = {"shape": "1000", "dtype": "float32", "function": "convolve1d", "kernel": ":5"}
    firsts["float32, 1-D"] = _FIRST_RESULT.format(**options)

    sides: dict[str, Callable[[], float]] = {
        "import numpy": lambda: cold.seconds("import numpy"),
        "import numba": lambda: cold.seconds("import numba"),
        "import fastconv": lambda: float(cold.run(_IMPORT)),
    }
    for name, code in firsts.items():
        sides[f"{name}, empty"] = lambda code=code: cold.seconds_with_empty_cache(code)
        sides[f"{name}, full"] = lambda code=code: cold.seconds(code)
        cold.run(code)  # fills the cache of kernels, and that of bytecode
    cold.run(_IMPORT)

    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            taken[name].append(side())
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    numba = median["import numba"]
    rows = [
        Row("import numpy: the process", median["import numpy"], "s"),
        Row("import numba: the process", numba, "s"),
        Row("import fastconv, after import numpy: the statement alone", median["import fastconv"], "s"),
    ]
    for name in firsts:
        empty, full = median[f"{name}, empty"], median[f"{name}, full"]
        first = f"first result, {name}"
        rows.append(Row(f"{first}, empty cache: the process", empty, "s", 2.5))
        rows.append(Row(f"{first}, empty cache: beyond import numba", empty - numba, "s"))
        rows.append(Row(f"{first}, full cache: beyond import numba", full - numba, "s", 0.3))
    return rows


def memory(cold: Cold, runs: int) -> list[Row]:
    """Peak memory beside input and output, of 256 MB each; the most of several runs."""
    image = {"function": "convolve2d", "small": "(64, 64)", "shape": "(8192, 8192)"}
    signal = {"function": "convolve1d", "small": "1000", "shape": "8192 * 8192"}
    probes = {
        "float32 8192x8192 by 5x5": {**image, "kernel": "(5, 5)", "layout": ""},
        "float32 8192x8192 by 5x5, Fortran": {**image, "kernel": "(5, 5)", "layout": ".T"},
        "float32 67108864 by 31": {**signal, "kernel": "31", "layout": ""},
    }
    # Kilobytes on Linux, bytes on macOS.
    megabyte = 2**20 if sys.platform == "darwin" else 2**10
    rows = []
    for name, options in probes.items():
        code = _MEMORY.format(**options)
        cold.run(code)  # fills the cache, so that no memory freed by the compiler can hide what the engine takes
        growth = max(int(cold.run(code)) for _ in range(runs))
        rows.append(Row(f"memory beside input and output, {name}", growth / megabyte, "MB", 16))
    return rows


def markdown(rows: list[Row]) -> str:
    lines = ["| what | measured | at most | met |", "|---|---:|---:|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cold", description="Measure import, first results and memory in fresh interpreters."
    )
    parser.add_argument("--runs", metavar="N", type=int, default=5, help="processes of each kind (default: 5)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write what is printed there too")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"argument --runs: must be at least 1; got {options.runs}")
    return options


def main() -> None:
    options = parse()
    machine = roofline.machine()
    with tempfile.TemporaryDirectory(prefix="fastconv-cold-") as folder:
        cold = Cold(Path(folder))
        rows = times(cold, options.runs)
        if sys.platform == "win32":
            print("memory is not measured: Windows has no resource.getrusage", file=sys.stderr)
        else:
            rows += memory(cold, options.runs)
    text = "\n".join([*(f"- {name}: {value}" for name, value in machine.items()), "", markdown(rows)])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    if options.json:
        report: dict[str, Any] = {"machine": machine, "results": [row._asdict() for row in rows]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
