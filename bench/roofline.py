"""The limits of the machine: multiply-adds in registers, and copy bandwidth.

    python -m bench.roofline

The peak is that of the processor that Numba compiles for, with vectors of full width and without loads and stores: no
convolution reaches it. It varies with frequency, temperature and other load, so it is measured anew for each case,
between the calls.
"""

from __future__ import annotations

import functools
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bench import machine
from bench.cases import Case
from fastconv._runtime import cpu_limits
from fastconv._simd import target

# Registers other than accumulators: the two operands, and two spare ones.
_SPARE_REGISTERS = 4


@intrinsic
def _multiply_add(typingctx, registers, rounds):
    """Repeat ``registers[k] = registers[k] * a + b``, an FMA, `rounds` times; `a` and `b` are the last two rows.

    Each row is one SIMD register. The accumulators are independent, and numerous enough to hide the latency, so that
    all FMA units are busy.
    """
    if not isinstance(registers, types.Array) or not isinstance(registers.dtype, (types.Float, types.Integer)):
        raise TypeError(f"registers must be an array of numbers; got {registers}")
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

        def multiply_add(value):
            if isinstance(registers.dtype, types.Integer):
                return builder.add(builder.mul(value, factor), addend)
            fmuladd = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{lanes}f{bits}")
            return builder.call(fmuladd, [value, factor, addend])

        with cgutils.for_range(builder, args[1]):
            for slot in slots:
                builder.store(multiply_add(builder.load(slot)), slot)
        for slot, pointer in zip(slots, pointers):  # otherwise LLVM would delete the loop
            builder.store(builder.load(slot), pointer, align=bits // 8)
        return context.get_dummy_value()

    return types.void(registers, types.intp), codegen


@numba.njit(nogil=True)
def _spin(registers, rounds):
    _multiply_add(registers, rounds)


@intrinsic
def _copy_bytes(typingctx, target, source):
    """Copy one array of bytes over another with the C library's memcpy."""

    def codegen(context, builder, signature, args):
        to, of = (context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, args))
        cgutils.raw_memcpy(builder, to.data, of.data, of.nitems, 1)
        return context.get_dummy_value()

    return types.void(target, source), codegen


# Copies are repeated within one call, so that threads do not contend for the GIL.


@numba.njit(nogil=True)
def _copy_by_library(target, source, copies):
    for _ in range(copies):
        _copy_bytes(target, source)


@numba.njit(nogil=True)
def _copy_by_loop(target, source, copies):
    for _ in range(copies):
        for i in range(source.size):
            target[i] = source[i]


def _lanes(itemsize: int) -> int:
    return target.processor().vector_bytes // itemsize


def _accumulators() -> int:
    return target.processor().registers - _SPARE_REGISTERS


class _Team:
    """Threads that start together; each is timed from the start to its own end."""

    def __init__(self, threads: int):
        self._pool = ThreadPoolExecutor(threads)
        self._barrier = threading.Barrier(threads)
        self._threads = threads

    def seconds(self, work: Callable[[int], object]) -> list[float]:
        """Return the seconds of ``work(k)`` in each thread k."""

        def timed(number: int) -> float:
            self._barrier.wait()
            start = time.perf_counter()
            work(number)
            return time.perf_counter() - start

        return list(self._pool.map(timed, range(self._threads)))


class Peak:
    """Measures peak operations per second of one dtype; each call takes one sample of some milliseconds."""

    def __init__(self, dtype: type, threads: int, seconds: float = 0.004):
        row = _lanes(np.dtype(dtype).itemsize)
        registers = np.ones((_accumulators() + 2, row), dtype)
        if np.issubdtype(dtype, np.floating):
            registers[-2] = 0.5  # x * 0.5 + 1 converges to 2: no infinities, and no slow denormals
        self._registers = [registers.copy() for _ in range(threads)]
        self._team = _Team(threads)
        self._rounds = 10_000
        self()  # compiles
        rate = statistics.median(self() for _ in range(3)) / threads
        self._rounds = int(seconds * rate / self._operations(1))

    def _operations(self, rounds: int) -> int:
        return 2 * rounds * _accumulators() * self._registers[0].shape[1]

    def __call__(self) -> float:
        seconds = self._team.seconds(lambda k: _spin(self._registers[k], self._rounds))
        return sum(self._operations(self._rounds) / each for each in seconds)


class Bandwidth:
    """Measures bytes read and written per second by a copy; each call takes one sample.

    `size` is the total of bytes read and written, since copies within a cache are faster. The result is the faster of
    two copies: the C library's, which bypasses the caches for large sizes, and a loop. (For some sizes the library's
    has a tenth of its usual speed on some processors.)
    """

    def __init__(self, threads: int, size: int):
        # Ones, not zeros: untouched zeros would all be read from one page.
        self._source = np.ones((threads, size // 2 // threads), np.uint8)
        self._target = np.ones_like(self._source)
        self._copies = max(1, _COPIED // size)
        self._copy: Callable
        self._team = _Team(threads)
        self._copy = max((_copy_by_library, _copy_by_loop), key=self._try)

    def _try(self, copy: Callable) -> float:
        self._copy = copy
        self()  # compiles
        return statistics.median(self() for _ in range(3))

    def __call__(self) -> float:
        seconds = self._team.seconds(lambda k: self._copy(self._target[k], self._source[k], self._copies))
        return sum(2 * self._copies * self._source[0].nbytes / each for each in seconds)


# Bytes to copy for one sample: a millisecond or more.
_COPIED = 2**25
# Below this, starting two threads would take as long as the copies.
_LEAST_SIZE = 2**14


class Bound(NamedTuple):
    """Lower bound on the time of a case on this machine, and the limit that determines it."""

    seconds: float
    by: str  # "arithmetic" or "memory"


def meters(case: Case) -> dict[str, Callable[[], float]]:
    """Return the measurements of the two limits of a case: "peak" and "bandwidth"."""
    size = max(_LEAST_SIZE, case.bytes)
    threads = cpu_limits.available_workers()
    return {"peak": _peak(case.accumulator, threads), "bandwidth": _bandwidth(threads, size)}


_peak = functools.cache(Peak)
_bandwidth = functools.lru_cache(maxsize=2)(Bandwidth)  # each size has buffers of its own


def bound(case: Case, readings: dict[str, float]) -> Bound:
    """Return the larger of operations over peak and bytes over bandwidth, for the readings of `meters`.

    The operations are those of the cheapest known method, whichever was used.
    """
    arithmetic = case.least_operations / readings["peak"]
    memory = case.bytes / readings["bandwidth"]
    return Bound(arithmetic, "arithmetic") if arithmetic > memory else Bound(memory, "memory")


def measure(samples: int = 15) -> list[dict[str, Any]]:
    """Return the median peak and bandwidth of one thread, and of as many as fastconv uses."""
    rows = []
    for threads in sorted({1, cpu_limits.available_workers()}):
        meters = {
            "float32, GFLOP/s": Peak(np.float32, threads),
            "float64, GFLOP/s": Peak(np.float64, threads),
            "copy, GB/s": Bandwidth(threads, 2**29),  # far larger than a cache
        }
        row: dict[str, Any] = {"threads": threads}
        for name, meter in meters.items():
            row[name] = statistics.median(meter() for _ in range(samples)) / 1e9
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    header = list(rows[0])
    lines = [f"| {' | '.join(header)} |", "|" + "---:|" * len(header)]
    for row in rows:
        cells = [str(value) if isinstance(value, int) else f"{value:.1f}" for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    for name, value in machine.describe().items():
        print(f"- {name}: {value}")
    print()
    print(markdown(measure()))


if __name__ == "__main__":
    main()
