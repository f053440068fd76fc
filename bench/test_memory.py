"""Peak memory: of the whole process, and of one call beside its arrays.

Input, library and the one-time allocations of a first call exist before, so only the call itself raises the high-water
mark: its result, and its temporary memory. Each figure is the maximum over fresh interpreters; the seconds are those of
the whole process, which makes its input too.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from bench import processes
from bench.alternation import TAPE, record
from bench.processes import Interpreters

_ROUNDS, _QUICK_ROUNDS = 2, 1

# Setup must neither allocate nor free much: memory that a call reuses from the allocator does not raise the mark.
# So the rows of `table` are short, which keeps index arrays small, and the first call is a small one.
_CODE = """
import json, resource, sys
import numpy as np
{library}

def peak():
    # ru_maxrss starts with that of the parent process; VmHWM is of this process alone.
    if sys.platform == "linux":
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def filled(shape):
    x = np.empty(shape, np.{dtype})
    table = x.reshape(-1, 4096)
    table[...] = np.arange(4096) % 7
    table *= (np.arange(len(table)) % 3 + 1).astype(x.dtype)[:, None]
    return x{layout}

kernel = (np.arange(np.prod({kernel_shape})) % 3).astype(np.{kernel_dtype}).reshape({kernel_shape})
x = filled({tiny})
{call}
x = filled({shape})
before = peak()
result = {call}
after = peak()

points = np.linspace(0, result.size - 1, 50).astype(int)
print(json.dumps({{
    "peak": after,
    "arrays": x.nbytes + kernel.nbytes + result.nbytes,
    "beside": after - before - result.nbytes,
    "result": [str(result.dtype), *result.shape],
    "values": [result.mean(dtype=float), *result.flat[points].astype(float)],
}}))
"""

_FLIPPED = "np.ascontiguousarray(kernel[::-1, ::-1])"
_CALLS = {
    "fastconv": "fastconv.convolve2d(x, kernel, 'same')",
    "cv2.filter2D": f"cv2.filter2D(x, -1, {_FLIPPED}, borderType=cv2.BORDER_CONSTANT)",
    "scipy.signal.fftconvolve": "scipy.signal.fftconvolve(x, kernel, 'same')",
    "scipy.signal.oaconvolve": "scipy.signal.oaconvolve(x, kernel, 'same')",
    "scipy.ndimage.convolve": "scipy.ndimage.convolve(x, kernel, mode='constant')",
}
_CALLS_1D = {
    "fastconv": "fastconv.convolve1d(x, kernel, 'same')",
    "numpy.convolve": "np.convolve(x, kernel, 'same')",
    "scipy.signal.oaconvolve": _CALLS["scipy.signal.oaconvolve"],
}
_CALLS_RGB = {
    "fastconv": "fastconv.convolve2d(x, kernel, 'same', axes=(0, 1))",
    "cv2.filter2D": f"cv2.filter2D(x, cv2.CV_32F, {_FLIPPED}, borderType=cv2.BORDER_CONSTANT)",
}


class Side(NamedTuple):
    """One way to compute a case."""

    name: str
    call: str

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    @property
    def library(self) -> str:
        return self.name.partition(".")[0]


class Case(NamedTuple):
    """One convolution of `x`, which is larger than all caches."""

    dtype: str
    shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    calls: dict[str, str]
    result_dtype: str = ""  # by default that of `x`
    layout: str = ""
    quick: bool = False  # whether it belongs to the subset that `--quick` measures

    @property
    def name(self) -> str:
        words = [f"{self.dtype} {_times(self.shape)} by {_times(self.kernel_shape)}"]
        words += [f"to {self.result_dtype}"] if self.result_dtype else []
        words += [self.layout] if self.layout else []
        return ", ".join(words)

    @property
    def sides(self) -> list[Side]:
        return [Side(name, call) for name, call in self.calls.items()]

    @property
    def smaller_shape(self) -> tuple[int, ...]:
        """A smaller shape that still uses all kernels and threads of the case."""
        if len(self.kernel_shape) == 3:
            return (16, 512, 512)
        return (2**20,) if len(self.shape) == 1 else (2048, 2048, *self.shape[2:])

    @property
    def tiny_shape(self) -> tuple[int, ...]:
        """The shape of the first call."""
        if len(self.kernel_shape) == 3:
            return (8, 64, 64)
        return (4096,) if len(self.shape) == 1 else (64, 64, *self.shape[2:])

    def code(self, side: Side) -> str:
        """Return the code of a process that makes a tiny call first."""
        return _CODE.format(
            library=f"import {side.module}",
            dtype=self.dtype,
            kernel_dtype=self.result_dtype or self.dtype,
            kernel_shape=self.kernel_shape,
            tiny=self.tiny_shape,
            shape=self.shape,
            layout=".T" if self.layout == "Fortran" else "",
            call=side.call,
        )


class Usage(NamedTuple):
    """The memory that a process reported, in bytes, and its seconds."""

    seconds: float
    peak: int
    arrays: int  # input, kernel and result
    beside: int
    result: list[Any]  # type and shape
    values: list[float]


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _only(calls: dict[str, str], *names: str) -> dict[str, str]:
    return {name: calls[name] for name in names}


# Without `scipy.ndimage`, which would take many seconds.
_FAST = _only(_CALLS, "fastconv", "cv2.filter2D", "scipy.signal.fftconvolve", "scipy.signal.oaconvolve")
CASES = [
    Case("float32", (8192, 8192), (5, 5), _CALLS),
    Case("float32", (8192, 8192), (5, 5), _only(_CALLS, "fastconv", "scipy.ndimage.convolve"), layout="Fortran"),
    Case("float32", (2048, 2048), (31, 31), _FAST, quick=True),
    Case("float64", (4096, 4096), (11, 11), _FAST),
    Case("float32", (2**26,), (31,), _CALLS_1D),
    Case("uint8", (4096, 4096, 3), (5, 5), _CALLS_RGB, result_dtype="float32"),
    Case("uint8", (100, 1080, 1920), (3, 5, 5), {"fastconv": "fastconv.convolve3d(x, kernel, 'same')"}),
]


def pytest_generate_tests(metafunc: Any) -> None:
    quick = metafunc.config.getoption("--quick")
    processes.parametrize(
        metafunc,
        [
            (case, side)
            for case in CASES
            for side in case.sides
            if not quick or (case.quick and side.name in ("fastconv", "cv2.filter2D"))
        ],
    )


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, list[Usage]]]:
    """The usage of each side of a case; the first test of a case measures all of them."""
    return {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource.getrusage")
@pytest.mark.benchmark(timer=TAPE)
def test_memory(benchmark, request, measured, case: Case, side: Side):
    if case.name not in measured:
        quick = request.config.getoption("--quick")
        rounds = 0 if benchmark.disabled else _QUICK_ROUNDS if quick else _ROUNDS
        interpreters = processes.interpreters(own_bytecode=rounds == _ROUNDS)
        measured[case.name] = _measure(case, processes.selected_sides(request), interpreters, rounds)
    used = measured[case.name][side.name]
    benchmark.group = f"memory: {case.name}"
    benchmark.extra_info.update(
        case=case.name,
        group="memory",
        side=side.name,
        library=side.library,
        peak_bytes=max(usage.peak for usage in used),
        arrays_bytes=used[0].arrays,
        beside_bytes=max(usage.beside for usage in used),
    )
    record(benchmark, [usage.seconds for usage in used])


def _measure(case: Case, sides: list[Side], interpreters: Interpreters, rounds: int) -> dict[str, list[Usage]]:
    """Return the usage of each side; without rounds, that with a smaller array."""
    smaller = case._replace(shape=case.smaller_shape)
    if rounds:
        for side in sides:
            if side.name == "fastconv":  # memory freed by the compiler would hide that of the engine
                interpreters.warm(case.code(side))
            elif interpreters.own_bytecode:
                interpreters.warm(f"import {side.module}")
        runs = {side.name: functools.partial(interpreters.run, case.code(side)) for side in sides}
        taken = processes.in_turn(runs, rounds)
    else:
        taken = {side.name: [interpreters.warm(smaller.code(side))] for side in sides}
    usage = {
        name: [Usage(process.seconds, **json.loads(process.printed)) for process in done]
        for name, done in taken.items()
    }
    _check_same(usage)
    return usage


def _check_same(taken: dict[str, list[Usage]]) -> None:
    """Compare the results of the sides: mean and some points, up to the rounding of an FFT."""
    first, *others = [(name, usage) for name, used in taken.items() for usage in used]
    expected = np.array(first[1].values)
    for name, usage in others:
        same = usage.result == first[1].result
        if not (same and np.allclose(usage.values, expected, rtol=0, atol=1e-4 * np.abs(expected).max())):
            raise AssertionError(f"{name} has another result than {first[0]}: {usage} instead of {first[1]}")
