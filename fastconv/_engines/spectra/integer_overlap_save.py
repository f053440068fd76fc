"""Overlap-save for integers: transforms in float64 whose results, rounded, are exact modulo 2**n.

A result differs from the integer by at most ``7 * eps * (log2(n) + 1) * norm(kernel) * norm(x)``, in 2-norms, where `n`
is the number of points of a transform and `x` the samples of the two tiles packed together. That is theorem 5.1 of C.
Percival, Mathematics of Computation 72, 2003, to first order, with roots of unity to within eps / 2: ``(6.4 * log2(n) +
1.1) * eps``, and some room for the products of roots in a four-step transform. Where that is less than a half, samples
and kernel are transformed as they are: the sum of squares is taken tile by tile. The other tiles are computed once
more, by digits of so few bits that the bound holds whatever the samples, or directly where that takes less time.

Digits are balanced, from ``-2**(bits - 1)`` to ``2**(bits - 1)``. Products whose weight is beyond the result's type are
left out: of `k` digits, tiles take `k` times as long and not ``k**2``. Only the samples are split where the kernel
leaves room for that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines import cost_model, scheduler
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import (
    compiled_routine,
    fill_bytes,
    refuse_copies,
    rescale_parameters,
    store_routine,
)
from fastconv._engines.scratch_memory import lent_scratch
from fastconv._engines.spectra.overlap_save import OverlapSaveEngine
from fastconv._engines.spectra.overlap_save_tiling import TiledLayout
from fastconv._microkernels.spectra import digit_loop, digit_passes, fft_passes
from fastconv._model.geometry import ZERO
from fastconv._model.problem import Problem
from fastconv._runtime import interruptible_numpy
from fastconv._runtime.borrowed_arrays import non_owning_view
from fastconv._runtime.bounded_cache import kept
from fastconv._runtime.instrumentation import listeners, notify, overrides, placed

WHOLE_ERROR = 7 * 2.0**-52
# Integers of less than 2**51 are exact in a single digit.
_WHOLE_BITS = 52
# Most digits of a result: 64 bits by 8.
MOST_DIGITS = 8
# Kernels of so many bytes have their digits transformed at each call that needs them.
_LARGEST_KEPT = 1 << 17


class Pass(NamedTuple):
    """A kernel ready for a pass over tiles: the spectra of its digits, and how samples are split."""

    record: np.ndarray
    references: tuple[Any, ...]  # objects that the record has the addresses of
    table: np.ndarray  # of the spectra
    limit: float  # below which the norm of the samples of two tiles must be
    scratch_bytes: int  # of each thread
    shared_bytes: int  # of the planes, if all threads work at one unit; else 0

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


class Split(NamedTuple):
    """How samples and a kernel are split into digits."""

    base: int  # bits
    taps: list[np.ndarray]  # the digits of the kernel
    table: np.ndarray  # a `DIGIT` for each plane of samples
    step: int  # digits of a tile in a plane: 2 if a tile is alone in it
    results: int  # planes of results

    @property
    def result_step(self) -> int:
        """From the weight of a plane of results to that of the next; a kernel that is not split adds none."""
        return self.step if len(self.taps) == 1 else 1


class _Memory(NamedTuple):
    """Sizes and offsets of the buffers of a pass: fields of its job, and bytes of a thread, and of all together."""

    fields: dict[str, int]
    scratch_bytes: int
    shared_bytes: int


class IntegerOverlapSaveEngine(OverlapSaveEngine):
    """Convolutions of one `Problem` with integer results by overlap-save, exact."""

    _loop = digit_loop
    _results: Any = types.int64  # the type of results in staging

    def __init__(self, problem: Problem):
        # Prepared kernels are native, also for tiles that are summed directly.
        super().__init__(problem._replace(kernel_dtype=problem.kernel_dtype.newbyteorder("=")))
        tile = self._tile
        self._points = (tile.rows if tile.down else 1) * (tile.columns if tile.across else 1)
        self._samples = 2 * math.prod(_samples_of(self._layout))
        error = overrides.error or WHOLE_ERROR * (math.log2(self._points) + 1)
        self._most = 0.5 / error  # for the product of both norms
        self._least_limit = math.sqrt(self._points)  # below, samples would have to be smaller than one
        # Results are right modulo 2**bits; a sample may have more bits than a result.
        self._bits = 8 * max(dtype.itemsize for dtype in (problem.sums, problem.x_dtype, problem.kernel_dtype))
        self.units = self._units.total
        self._rescale = rescale_parameters(problem.finish, self._results)
        self._routines = digit_loop.DIGIT_JOB.filled(  # the fields that all passes share
            {
                **self._own_routines(not (tile.down and tile.across)),
                "first_row_pass_back": compiled_routine(
                    fft_passes.first_pass_back, fft_passes.middle_signature(types.float64)
                ),
                "store": store_routine(problem.finish, self._results, stored(problem.dtype, self._results)),
                "rescale": 0 if self._rescale is None else self._rescale.ctypes.data,
                "result_item": self._results.bitwidth // 8,
            }
        )

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Integers:  # type: ignore[override]
        """Transform a kernel for `run`."""
        kernel = interruptible_numpy.converted(kernel, kernel.dtype.newbyteorder("="))
        return Integers(kernel, self.whole(self._balanced(kernel), workers))

    def whole(self, taps: np.ndarray, workers: int | None, table: np.ndarray | None = None) -> Pass | None:
        """A pass in a single digit, with the spectrum of the kernel in `table` if that is known.

        None where the samples of two tiles would have to have a smaller norm than the least that is worth a look.
        """
        limit = self._most / max(_norm(taps), 1.0)
        if limit < self._least_limit:
            return None
        split = Split(_WHOLE_BITS, [taps], _digit_table(_WHOLE_BITS, _WHOLE_BITS), 1, 1)
        return self._pass(split, limit, workers, table)

    def _balanced(self, kernel: np.ndarray) -> np.ndarray:
        """A native kernel modulo 2**bits, with taps of either sign."""
        wraps = kernel.dtype.kind == "u" and kernel.dtype.itemsize >= self._problem.sums.itemsize
        return kernel.view(f"i{kernel.dtype.itemsize}") if wraps else kernel

    def split(self, kernel: np.ndarray, bits: int) -> Split | None:
        """Split a kernel, and samples of so many bits, in the way that takes the least time; None if none is exact."""
        taps = self._balanced(kernel)
        room = self._most / math.sqrt(self._samples)  # for the products of the kernel's norms and the largest digits
        splits: list[Split] = []
        largest_digit = room / max(_norm(taps), 1.0)
        if largest_digit > 1:
            base = min(_WHOLE_BITS - 1, int(math.log2(largest_digit)) + 1)
            splits.append(self._split(base, [taps], bits))
            if splits[0].results == 1:
                return splits[0]
        for number in range(2, MOST_DIGITS + 1):
            base = -(-self._bits // number)
            split = self._split(base, _digits_of(taps, _digit_table(self._bits, base)), bits)
            norms = [_norm(digit) for digit in split.taps]
            sums = [0.0] * split.results
            for result, (k, digit) in itertools.product(range(split.results), enumerate(split.table)):
                weight = split.result_step * result - split.step * k
                if 0 <= weight < len(norms):
                    sums[result] += float(max(digit["offset"], digit["imag_offset"])) * norms[weight]
            if max(sums) < room:
                splits.append(split)
                break
        return min(splits, key=self._transforms, default=None)

    def _split(self, base: int, taps: list[np.ndarray], bits: int) -> Split:
        """Samples of so many bits in digits of `base` bits, by these digits of a kernel."""
        step = 2 if self._units.group == 1 else 1  # digits of a tile in a plane
        table = _digit_table(bits, base, step)
        weights = min(-(-self._bits // base), step * (len(table) - 1) + len(taps))
        return Split(base, taps, table, step, len(table) if len(taps) == 1 else weights)

    def _transforms(self, split: Split) -> float:
        """How many times as long as one digit a split takes, about."""
        return (len(split.table) + split.results + (len(split.taps) - 1) / self._units.total) / 2

    def _spectra(self, taps: list[np.ndarray], job: np.ndarray, workers: int | None) -> np.ndarray:
        """The spectra of the digits of a kernel, one behind the other."""
        shape = self._tile.rows, int(self._job["pitch"])
        with lent_scratch(8 * math.prod(shape)) as buffer:  # fresh memory takes longer than the transform
            plane = buffer.view(np.float64).reshape(shape)
            spread = (self._spread(self._folded(self._taps_in_plane(digit)), plane) for digit in taps)
            tables = [self._transformed(job, *planes, workers) for planes in spread]
        if len(tables) == 1:
            return placed(tables[0][np.newaxis])
        table = np.empty((len(tables), *tables[0].shape))
        for part, spectrum in zip(table, tables):
            interruptible_numpy.copy(part, spectrum)
        return placed(table)

    def _pass(self, split: Split, limit: float, workers: int | None, table: np.ndarray | None = None) -> Pass:
        """A pass by the digits of a kernel, of which `table` holds the spectra if that is known."""
        job = self._job.copy()
        factors = self._set_twiddles(job)
        if table is None:
            table = self._spectra(split.taps, job, workers)
        digits = placed(split.table)
        memory = self._memory(split.results)
        record = self._routines.copy()
        fields = {
            "tile": job,
            "planes": len(split.table),
            "step": split.step,
            "kernel_digits": len(split.taps),
            "results": split.results,
            "result_step": split.result_step,
            "base_bits": split.base,
            "digit_table": digits.ctypes.data,
            "spectrum_bytes": table[0].nbytes,
        }
        for name, value in (*fields.items(), *memory.fields.items()):
            record[name] = value
        references = self._parts, digits, factors, self._rescale
        return Pass(record, references, table, limit, memory.scratch_bytes, memory.shared_bytes)

    def _memory(self, planes: int) -> _Memory:
        """Sizes and offsets of the buffers for so many planes."""
        job, (rows, columns) = self._job, self._tile[:2]
        lanes = int(job["lanes"])
        plane_bytes, transposed_bytes = rows * int(job["pitch"]) * 8, 2 * lanes * columns * 8
        sizes = digit_loop.HEAD_BYTES, planes * transposed_bytes, *[int(job["staging_rows"]) * columns * 8] * 2
        offsets = [*itertools.accumulate(-(-size // 64) * 64 for size in sizes)]
        large = planes * plane_bytes > cost_model.LARGE_PLANE and self._units.total < cost_model.SHARES
        shares = cost_model.SHARES if large else 1
        fields = {
            "plane_bytes": plane_bytes,
            "transposed_bytes": transposed_bytes,
            **dict(zip(("transposed_at", "staging_at", "second_staging_at", "plane_at"), offsets)),
            "shares": shares,
            "share_rows": -(-rows // shares // lanes) * lanes,
            "share_columns": -(-columns // shares // lanes) * lanes,
        }
        own, shared = (0, planes * plane_bytes) if large else (planes * plane_bytes, 0)
        return _Memory(fields, offsets[-1] + own, shared)

    def compile_all(self) -> None:
        """Compile all that problems of these types need, whatever their sizes."""
        super().compile_all()
        for alike in (False, True):
            self._own_routines(alike)

    def _own_routines(self, alike: bool) -> dict[str, int]:
        """Compiled routines of a pass, by their fields in the job."""
        product = digit_passes.product_uniform if alike else digit_passes.product
        return {
            "split": compiled_routine(digit_passes.split_pair, digit_passes.split_signature()),
            "join": compiled_routine(digit_passes.join_pair, digit_passes.join_signature()),
            "product": compiled_routine(product, digit_passes.product_signature()),
        }

    def digits(
        self, kernel: np.ndarray, bits: int, workers: int | None = None, whole: Pass | None = None
    ) -> Pass | None:
        """Transform the digits of a kernel for samples of so many bits; None if products are summed faster."""
        split = self.split(kernel, bits)
        if split is None or not self._pays(self._transforms(split)):
            return None
        table = whole.table if whole is not None and len(split.taps) == 1 else None
        return self._pass(split, math.inf, workers, table)

    def _pays(self, transforms: float) -> bool:
        """Whether digits are estimated to take less time than the direct engine."""
        if overrides.digits is not None:
            return overrides.digits
        return transforms * cost_model.fft(self._problem, self._layout) < cost_model.direct(self._problem)

    def run(self, x: np.ndarray, prepared: Integers, out: np.ndarray, workers: int | None) -> bool:  # type: ignore[override]
        """Fill `out`, and return True: see `OverlapSaveEngine.run`."""
        units, bits = np.arange(self._units.total), _sample_bits(self._problem)
        if prepared.whole is not None:
            units, largest = self.cover(prepared.whole, units, x, out, workers)
            if largest < 2.0**bits:  # few kinds of splits, to keep them
                bits = min(bits, -(-(int(largest).bit_length() + 1) // 4) * 4)
        if not units.size:
            return True
        digits = _digits(self, prepared, bits, workers)
        if digits is not None:
            units, _ = self.cover(digits, units, x, out, workers)
        if units.size:
            flags = np.zeros(self._units.total, np.intp)
            flags[units] = 1
            self._recompute(x, prepared.kernel, out, flags, workers)
        return True

    def cover(self, spectra: Pass, units: np.ndarray, x, out, workers: int | None) -> tuple[np.ndarray, float]:
        """Compute these units; return those left out, since their samples are too large, and the largest sample."""
        if listeners:
            counts = {"planes": int(spectra.record["results"]), "units": units.size}
            shared = bool(spectra.shared_bytes)
            notify("digits", problem=self._problem, x=x, out=out, tile=self._tile, shared=shared, **counts)
        left, largest = self._cover(spectra, units, x, out, workers)
        if listeners and left.size:
            notify("left", units=left.size)
        return left, largest

    def _cover(self, spectra: Pass, units: np.ndarray, x, out, workers: int | None) -> tuple[np.ndarray, float]:
        """`cover`, unobserved."""
        shared = spectra.shared_bytes
        pieces = cost_model.SHARES if shared else units.size
        squares = np.zeros((pieces, 2))
        limits = np.array([spectra.limit**2, spectra.limit**2 / self._samples])
        if not shared:
            self._share_digits(spectra, units, squares, limits, x, out, workers, pieces, (0, 0, _ALL))
            return units[~(squares < limits).any(axis=1)], math.sqrt(squares[:, 1].max())
        plane = interruptible_numpy.zeros((shared + 64,), np.uint8)
        address = -(-plane.ctypes.data // 64) * 64
        left, largest = [], 0.0
        for unit in map(int, units):
            for step in digit_loop.ALL_STEPS:
                self._share_digits(spectra, units, squares, limits, x, out, workers, pieces, (address, unit, step))
                if not (squares[:, 0].sum() < limits[0] or squares[:, 1].max() < limits[1]):  # after the first step
                    left.append(unit)
                    break
            largest = max(largest, float(squares[:, 1].max()))
        return np.array(left, np.intp), math.sqrt(largest)

    def _share_digits(self, spectra: Pass, units, squares, limits, x, out, workers, pieces: int, extra) -> None:
        """Do steps of all units, or of one shared plane."""
        planes = int(spectra.record["results"])
        alone = (self._alone and planes == 1) or pieces == 1
        threads = 1 if alone else scheduler.threads_for(pieces, workers)
        work = planes * self._unit_work / (pieces if spectra.shared_bytes else 1)
        limit = max(1, int(cost_model.WORK_BETWEEN_SIGNALS / work))
        limit, after_call = scheduler.pieces_per_call(limit, pieces, threads, (x, out))
        arrays, record, address = (non_owning_view(x), non_owning_view(out)), spectra.record, spectra.table.ctypes.data

        def step(progress, max_spins, scratch):
            return self._run(*arrays, record, progress, units, squares, address, limit, max_spins, scratch)

        bits = limits.view(np.int64).tolist()
        scheduler.run(step, pieces, spectra.scratch_bytes, threads, (*extra, *bits), after_call)


_ALL = sum(digit_loop.ALL_STEPS)


def _digits(engine: IntegerOverlapSaveEngine, prepared: Integers, bits: int, workers: int | None) -> Pass | None:
    """The digits of a kernel; kept if it is small, since most calls repeat one."""
    kernel = prepared.kernel
    if kernel.nbytes > _LARGEST_KEPT:
        return engine.digits(kernel, bits, workers, prepared.whole)
    return _kept_digits(engine, bits, kernel.dtype, kernel.shape, kernel.tobytes())


@kept
def _kept_digits(engine: IntegerOverlapSaveEngine, bits: int, dtype, shape, content: bytes) -> Pass | None:
    return engine.digits(np.frombuffer(content, dtype).reshape(shape), bits)


def _samples_of(layout: TiledLayout) -> Iterator[int]:
    """The most samples of a tile that are not zero along each axis that is transformed."""
    tile = layout.tile
    sides = zip((layout.row_axis, layout.column_axis), tile.extents, (tile.down and not tile.four_step, tile.across))
    for axis, size, transformed in sides:
        if transformed:
            yield min(size, axis.samples) if axis.boundary == ZERO else size


def _sample_bits(problem: Problem) -> int:
    """Bits of a signed integer that holds all samples, and the fill value, as the job packs them."""
    dtype, fill = problem.x_dtype, int(fill_bytes(problem, types.int64).view(np.int64)[0])
    wraps = dtype.itemsize >= problem.sums.itemsize
    bits = 2 if dtype.kind == "b" else 8 * dtype.itemsize + (dtype.kind == "u" and not wraps)
    return max(bits, (fill ^ fill >> 63).bit_length() + 1)


def _digit_table(bits: int, base: int, step: int = 1) -> np.ndarray:
    """How integers of so many bits are split into digits of `base` bits, the lowest first, and `step` to a plane.

    With a half of the base added to each digit they are fields of bits. The last digit is what is left.
    """
    number = -(-bits // base)
    shifts, last = base * np.arange(number), bits - base * (number - 1)
    digits = np.stack([shifts, np.full(number, (1 << base) - 1), np.full(number, 1 << base - 1)], -1)
    digits[-1, 1:] = -1, 1 << last - 1
    bias = sum(int(offset) << int(shift) for shift, _, offset in digits)
    if step == 2 and number % 2:
        digits = np.concatenate([digits, np.zeros((1, 3), digits.dtype)])
    table = np.zeros(-(-number // step), digit_passes.DIGIT.dtype)
    table["bias"] = bias - (bias >> 63 << 64)
    for k, field in enumerate(("shift", "mask", "offset")):
        table[field], table[f"imag_{field}"] = digits[::step, k], digits[step - 1 :: step, k]
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
    """The 2-norm of a kernel."""
    chunks = (taps[chunk].astype(np.float64) for chunk in interruptible_numpy.chunk_slices(taps.shape))
    with np.errstate(over="ignore"):
        return math.sqrt(sum(float(np.square(chunk).sum()) for chunk in chunks))
