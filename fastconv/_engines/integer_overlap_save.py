"""Overlap-save for integers: transforms in float64 whose results, rounded, are exact modulo 2**n.

To first order a result differs from the integer by at most ``12 * eps * (log2(n) + 1) * norm(kernel) * norm(x)``, in
2-norms, where `n` is the number of points of a transform and `x` the samples of the two tiles packed together (C.
Percival, Mathematics of Computation 72, 2003, theorem 5.1, which has eps / 2). Where that is less than a half, samples
and kernel are transformed as they are: the sum of squares is taken tile by tile. The other tiles are computed once
more, by digits of so few bits that the bound holds whatever the samples, or directly where that takes less time.

Digits are balanced, from ``-2**(bits - 1)`` to ``2**(bits - 1)``. Products whose weight is beyond the result's type are
left out: of `k` digits, tiles take `k` times as long and not ``k**2``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines import cost_model, overlap_save_job, scheduler
from fastconv._engines.overlap_save import OverlapSaveEngine
from fastconv._engines.overlap_save_job import TileJob
from fastconv._engines.routine_addresses import compiled_routine, fill_bytes, refuse_copies
from fastconv._microkernels import digit_loop, digit_passes, fft_passes
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.borrowed_arrays import non_owning_view
from fastconv._runtime.bounded_cache import kept

_ERROR = 12 * 2.0**-52
# Integers of less than 2**51 are exact in a single digit.
_WHOLE_BITS = 52
# Most digits of a result: 64 bits by 8.
_MOST_DIGITS = 8
# Kernels of so many bytes have their digits transformed at each call that needs them.
_LARGEST_KEPT = 1 << 17


class Pass(NamedTuple):
    """A kernel ready for a pass over tiles: the spectra of its digits, and how samples are split."""

    record: np.ndarray
    memory: TileJob
    references: tuple[np.ndarray | None, ...]  # arrays that the record has the addresses of
    table: np.ndarray  # of the spectra
    limit: float  # below which the norm of the samples of two tiles must be

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.table.nbytes + self.record.nbytes


class Integers(NamedTuple):
    """A kernel ready for `IntegerOverlapSaveEngine.run`."""

    kernel: np.ndarray
    whole: Pass | None  # None where no sample is small enough

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.kernel.nbytes + (0 if self.whole is None else self.whole.nbytes)


class IntegerOverlapSaveEngine(OverlapSaveEngine):
    """Convolutions of one `Problem` with integer results by overlap-save, exact."""

    _loop = digit_loop

    def __init__(self, problem: Problem):
        super().__init__(problem)
        tile = self._tile
        self._points = (tile.rows if tile.down else 1) * (tile.columns if tile.across else 1)
        self._most = 0.5 / (_ERROR * (math.log2(self._points) + 1))  # for the product of both norms
        # Results are right modulo 2**bits; a sample may have more bits than a result.
        self._bits = 8 * max(dtype.itemsize for dtype in (problem.sums, problem.x_dtype, problem.kernel_dtype))
        self._sample_bits = _sample_bits(problem)

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Integers:  # type: ignore[override]
        """Transform a kernel for `run`."""
        kernel = interruptible_numpy.converted(kernel, kernel.dtype.newbyteorder("="))
        taps = self._balanced(kernel)
        norm = _norm(taps)
        if norm >= self._most:
            return Integers(kernel, None)
        return Integers(kernel, self._pass(_WHOLE_BITS, _WHOLE_BITS, [taps], 1, self._most / max(norm, 1.0), workers))

    def _balanced(self, kernel: np.ndarray) -> np.ndarray:
        """A kernel modulo 2**bits, with taps of either sign."""
        wraps = kernel.dtype.kind == "u" and kernel.dtype.itemsize >= self._problem.sums.itemsize
        return kernel.view(f"i{kernel.dtype.itemsize}") if wraps else kernel

    def digits(self, kernel: np.ndarray, workers: int | None = None) -> Pass | None:
        """Split a kernel into as few digits as the bound allows; None if it allows none."""
        taps = self._balanced(kernel)
        for number in range(2, _MOST_DIGITS + 1):
            base = -(-self._bits // number)
            table = _digit_table(self._sample_bits, base)
            largest = [float(digit["offset"]) * math.sqrt(2 * self._points) for digit in table]
            found = _digits_of(taps, _digit_table(self._bits, base))
            norms = [_norm(digit) for digit in found]
            weights = min(number, len(largest) + len(found) - 1)
            sums = (
                sum(largest[i] * norms[w - i] for i in range(len(largest)) if 0 <= w - i < len(norms))
                for w in range(weights)
            )
            if max(sums) < self._most:
                return self._pass(self._sample_bits, base, found, weights, math.inf, workers)
        return None

    def _pass(self, sample_bits: int, base: int, taps, weights: int, limit: float, workers: int | None) -> Pass:
        """A pass over samples in digits of `base` bits, by the digits `taps` of a kernel."""
        problem, layout = self._problem, self._layout
        job, factors = self._job_with_twiddles()
        tables = []
        for digit in taps:
            plane, width = self._spread(self._taps_in_plane(digit))
            tables.append(self._transformed(job, plane, width, workers))
        table = tables[0]
        if len(taps) > 1:
            table = np.empty((len(taps), *table.shape))
            for part, spectrum in zip(table, tables):
                interruptible_numpy.copy(part, spectrum)
        memory = self._parts if weights == 1 else overlap_save_job.build(problem, layout, weights)
        digits = _digit_table(sample_bits, base)
        record = digit_loop.DIGIT_JOB.filled(
            {
                "tile": memory.record,
                **_routines(not (self._tile.down and self._tile.across)),
                "digits": len(digits),
                "kernel_digits": len(taps),
                "weights": weights,
                "base_bits": base,
                "digit_table": digits.ctypes.data,
                "plane_bytes": self._tile.rows * int(memory.record["pitch"]) * 8,
                "transposed_bytes": 2 * int(memory.record["lanes"]) * self._tile.columns * 8,
                "spectrum_bytes": tables[0].nbytes,
            }
        )
        record["tile"]["four_step_twiddles"] = job["four_step_twiddles"]
        return Pass(record, memory, (digits, factors), table, limit)

    def run(self, x: np.ndarray, prepared: Integers, out: np.ndarray, workers: int | None) -> bool:  # type: ignore[override]
        """Fill `out`, and return True: see `OverlapSaveEngine.run`."""
        units = np.arange(self._units.total)
        if prepared.whole is not None:
            units = self._cover(prepared.whole, units, x, out, workers)
        if not units.size:
            return True
        digits = _digits(self, prepared.kernel, workers) if self._digits_pay() else None
        if digits is not None:
            units = self._cover(digits, units, x, out, workers)
        if units.size:
            flags = np.zeros(self._units.total, np.intp)
            flags[units] = 1
            self._repair(x, prepared.kernel, out, flags, workers)
        return True

    def _cover(self, spectra: Pass, units: np.ndarray, x, out, workers: int | None) -> np.ndarray:
        """Compute these units; return those left out, since their samples are too large."""
        shared = spectra.memory.shared_bytes
        pieces = spectra.memory.pieces if shared else units.size
        squares = np.zeros((pieces, 2))
        limits = np.array([spectra.limit**2, spectra.limit**2 / (2 * self._points)])
        if not shared:
            self._share_digits(spectra, units, squares, limits, x, out, workers, pieces, (0, 0, _ALL))
            return units[~(squares < limits).any(axis=1)]
        plane = interruptible_numpy.zeros((shared + 64,), np.uint8)
        address = -(-plane.ctypes.data // 64) * 64
        left = []
        for unit in map(int, units):
            for step in digit_loop.ALL_STEPS:
                self._share_digits(spectra, units, squares, limits, x, out, workers, pieces, (address, unit, step))
                if not (squares[:, 0].sum() < limits[0] or squares[:, 1].max() < limits[1]):  # after the first step
                    left.append(unit)
                    break
        return np.array(left, np.intp)

    def _share_digits(self, spectra: Pass, units, squares, limits, x, out, workers, pieces: int, extra) -> None:
        """Do steps of all units, or of one shared plane."""
        weights = int(spectra.record["weights"])
        alone = (self._alone and weights == 1) or pieces == 1
        threads = 1 if alone else scheduler.threads_for(pieces, workers)
        work = weights * self._unit_work / (pieces if spectra.memory.shared_bytes else 1)
        limit = max(1, int(cost_model.WORK_BETWEEN_SIGNALS / work))
        limit, after_call = scheduler.pieces_per_call(limit, pieces, threads, (x, out))
        arrays, record, address = (non_owning_view(x), non_owning_view(out)), spectra.record, spectra.table.ctypes.data

        def step(progress, max_spins, scratch):
            return self._run(*arrays, record, progress, units, squares, address, limit, max_spins, scratch)

        bits = limits.view(np.int64).tolist()
        scheduler.run(step, pieces, spectra.memory.scratch_bytes, threads, (*extra, *bits), after_call)

    def _digits_pay(self) -> bool:
        """Whether digits are estimated to take less time than the direct engine."""
        number = max(2, -(-self._bits // 13))
        return number * cost_model.fft(self._problem, self._layout) < cost_model.direct(self._problem)


_ALL = sum(digit_loop.ALL_STEPS)


def compile_all(problem: Problem) -> None:
    """Compile all that problems of these types need, whatever their sizes."""
    overlap_save_job.compile_all(problem)
    for alike in (False, True):
        _routines(alike)


def _routines(alike: bool) -> dict[str, int]:
    """Compiled routines of a pass by their fields in the job."""
    product = digit_passes.product_uniform if alike else digit_passes.product
    return {
        "split": compiled_routine(digit_passes.split_pair, digit_passes.split_signature()),
        "join": compiled_routine(digit_passes.join_pair, digit_passes.join_signature()),
        "product": compiled_routine(product, digit_passes.product_signature()),
        "first_row_pass_back": compiled_routine(fft_passes.first_pass_back, fft_passes.middle_signature(types.float64)),
    }


def _digits(engine: IntegerOverlapSaveEngine, kernel: np.ndarray, workers: int | None) -> Pass | None:
    """The digits of a kernel; kept if it is small, since most calls repeat one."""
    if kernel.nbytes > _LARGEST_KEPT:
        return engine.digits(kernel, workers)
    return _kept_digits(engine, kernel.dtype, kernel.shape, kernel.tobytes())


@kept
def _kept_digits(engine: IntegerOverlapSaveEngine, dtype, shape: tuple[int, ...], content: bytes) -> Pass | None:
    return engine.digits(np.frombuffer(content, dtype).reshape(shape))


def _sample_bits(problem: Problem) -> int:
    """Bits of a signed integer that holds all samples, and the fill value, as the job packs them."""
    dtype, fill = problem.x_dtype, int(fill_bytes(problem, types.int64).view(np.int64)[0])
    wraps = dtype.itemsize >= problem.sums.itemsize
    bits = 2 if dtype.kind == "b" else 8 * dtype.itemsize + (dtype.kind == "u" and not wraps)
    return max(bits, (fill ^ fill >> 63).bit_length() + 1)


def _digit_table(bits: int, base: int) -> np.ndarray:
    """How integers of so many bits are split into digits of `base` bits, the lowest first.

    With a half of the base added to each digit they are fields of bits. The last digit is what is left.
    """
    number = -(-bits // base)
    table = np.zeros(number, digit_passes.DIGIT.dtype)
    table["shift"] = base * np.arange(number)
    table["mask"] = (1 << base) - 1
    table["offset"] = 1 << base - 1
    table["mask"][-1], table["offset"][-1] = -1, 1 << bits - base * (number - 1) - 1
    bias = sum(int(digit["offset"]) << int(digit["shift"]) for digit in table)
    table["bias"] = bias - (bias >> 63 << 64)
    return table


def _digits_of(taps: np.ndarray, table: np.ndarray) -> list[np.ndarray]:
    """Digits of a kernel, in int64, but for the last ones if they are zero."""
    found = [np.empty(taps.shape, np.int64) for _ in table]
    for chunk in interruptible_numpy.chunk_slices(taps.shape):
        raised = (taps[chunk].astype(np.int64) + np.int64(table[0]["bias"])).view(np.uint64)
        for part, digit in zip(found, table):
            fields = raised >> np.uint64(digit["shift"]) & np.uint64(int(digit["mask"]) % 2**64)
            part[chunk] = fields.view(np.int64) - np.int64(digit["offset"])
    while len(found) > 1 and not found[-1].any():
        found.pop()
    return found


def _norm(taps: np.ndarray) -> float:
    """The 2-norm of integers."""
    chunks = (taps[chunk].astype(np.float64) for chunk in interruptible_numpy.chunk_slices(taps.shape))
    return math.sqrt(sum(float(np.square(chunk).sum()) for chunk in chunks))
