"""What the machine can do at most: FMA peak in registers, and copy bandwidth.

    python -m bench.roofline

The peak is that of the processor that Numba compiles for, with vectors of its full width, and without a load or a
store: no convolution reaches it. It is no constant either. Frequency, temperature and neighbours move it, so
`compare.py` measures it between the calls that it is compared with.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

import fastconv
from fastconv import _crew, _jit

# Beside the accumulators a register each for the two factors, and two to spare.
_SPARE_REGISTERS = 4


@intrinsic
def _multiply_add(typingctx, registers, rounds):
    """``rounds`` times ``registers[k] = registers[k] * a + b``, where `a` and `b` are its last two rows.

    Each row is one SIMD register. No accumulator waits for another, and a loop that is long enough hides how long
    each takes: that fills every FMA unit there is.
    """
    if not isinstance(registers, types.Array) or not isinstance(registers.dtype, types.Float):
        raise TypeError(f"registers must be an array of floats; got {registers}")
    bits = registers.dtype.bitwidth
    lanes = _lanes(bits // 8)
    accumulators = _accumulators()

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_data_type(registers.dtype), lanes)
        data = context.make_array(registers)(context, builder, args[0]).data
        rows = builder.bitcast(data, vector.as_pointer())
        pointers = [builder.gep(rows, [ir.IntType(32)(k)]) for k in range(accumulators + 2)]
        loaded = [builder.load(pointer, align=bits // 8) for pointer in pointers]
        factor, addend = loaded[-2:]
        slots = [cgutils.alloca_once_value(builder, value) for value in loaded[:accumulators]]
        kind = ir.FunctionType(vector, [vector] * 3)
        fmuladd = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{lanes}f{bits}")
        with cgutils.for_range(builder, args[1]):
            for slot in slots:
                builder.store(builder.call(fmuladd, [builder.load(slot), factor, addend]), slot)
        for slot, pointer in zip(slots, pointers):  # else LLVM would see that nobody asks for the result
            builder.store(builder.load(slot), pointer, align=bits // 8)
        return context.get_dummy_value()

    return types.void(registers, types.intp), codegen


@numba.njit(nogil=True)
def _spin(registers, rounds):
    _multiply_add(registers, rounds)


def _lanes(itemsize: int) -> int:
    return _jit.processor().vector_bytes // itemsize


def _accumulators() -> int:
    return _jit.processor().registers - _SPARE_REGISTERS


class _Team:
    """Threads that start together. Each is timed by itself, from the start to its own end."""

    def __init__(self, threads: int):
        self._pool = ThreadPoolExecutor(threads)
        self._barrier = threading.Barrier(threads)
        self._threads = threads

    def seconds(self, work: Callable[[int], object]) -> list[float]:
        """What ``work(k)`` took in each thread k."""

        def timed(number: int) -> float:
            self._barrier.wait()
            start = time.perf_counter()
            work(number)
            return time.perf_counter() - start

        return list(self._pool.map(timed, range(self._threads)))


class Peak:
    """The most GFLOP/s of one type in some threads: each call takes one sample, of some milliseconds."""

    def __init__(self, dtype: type, threads: int, seconds: float = 0.004):
        row = _lanes(np.dtype(dtype).itemsize)
        # x * 0.5 + 1 goes to 2: no sample gets into infinities or denormals, which may be slow.
        registers = np.ones((_accumulators() + 2, row), dtype)
        registers[-2] = 0.5
        self._registers = [registers.copy() for _ in range(threads)]
        self._team = _Team(threads)
        self._rounds = 10_000
        self()  # compiles
        rate = statistics.median(self() for _ in range(3)) * 1e9 / threads
        self._rounds = int(seconds * rate / self._operations(1))

    def _operations(self, rounds: int) -> int:
        return 2 * rounds * _accumulators() * self._registers[0].shape[1]

    def __call__(self) -> float:
        seconds = self._team.seconds(lambda k: _spin(self._registers[k], self._rounds))
        return sum(self._operations(self._rounds) / each for each in seconds) / 1e9


class Bandwidth:
    """GB/s of a copy in some threads, bytes read and bytes written; each call takes one sample."""

    def __init__(self, threads: int, megabytes: int = 256):
        # Far more than a cache holds. Ones, not zeros: zeros untouched would all be read from one page.
        self._source = np.ones((threads, megabytes * 2**20 // threads), np.uint8)
        self._target = np.ones_like(self._source)
        self._team = _Team(threads)

    def __call__(self) -> float:
        seconds = self._team.seconds(lambda k: np.copyto(self._target[k], self._source[k]))
        return sum(2 * self._source[0].nbytes / each for each in seconds) / 1e9


def measure(samples: int = 15) -> list[dict[str, Any]]:
    """Peak and bandwidth of one thread, and of as many as fastconv uses; medians."""
    rows = []
    for threads in sorted({1, _crew.available_workers()}):
        meters = {
            "float32, GFLOP/s": Peak(np.float32, threads),
            "float64, GFLOP/s": Peak(np.float64, threads),
            "copy, GB/s": Bandwidth(threads),
        }
        row: dict[str, Any] = {"threads": threads}
        for name, meter in meters.items():
            row[name] = statistics.median(meter() for _ in range(samples))
        rows.append(row)
    return rows


def machine() -> dict[str, str]:
    """What a reader has to know of where the figures come from."""
    processor = _jit.processor()
    described = {
        "processor": f"{_model_name()}, compiled for {processor.name}, vectors of {processor.vector_bytes * 8} bits",
        "threads": str(_crew.available_workers()),
        "system": platform.platform(),
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{module.__name__} {module.__version__}" for module in (fastconv, numba, np, *_rivals())]
        ),
    }
    if hasattr(os, "getloadavg"):
        described["load before"] = f"{os.getloadavg()[0]:.2f} (who else computes here takes cores away)"
    return described


def _model_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _rivals() -> list[Any]:
    """The libraries compared with, as far as this process has imported them."""
    return [sys.modules[name] for name in ("scipy", "cv2") if name in sys.modules]


def markdown(rows: list[dict[str, Any]]) -> str:
    header = list(rows[0])
    lines = [f"| {' | '.join(header)} |", "|" + "---:|" * len(header)]
    for row in rows:
        cells = [str(value) if isinstance(value, int) else f"{value:.1f}" for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    for name, value in machine().items():
        print(f"- {name}: {value}")
    print()
    print(markdown(measure()))


if __name__ == "__main__":
    main()
