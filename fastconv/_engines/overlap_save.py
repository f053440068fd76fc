"""The spectral engine, seen from Python: it chooses the tile, prepares the job that `tile_loop` runs, and
transforms the kernel.

Along an axis, a transform of `size` points gives ``size - taps + 1`` results, and the work for it hardly grows
faster than `size`. So the engine's work for a result does not depend on how many taps there are, but on their
logarithm.

Error: to first order, at most ``12 * eps * (log2(points of a tile) + 1) * norm(x) * norm(kernel)``, in 2-norms, `x`
over the tile and the one that rides with it (C. Percival, Mathematics of Computation 72, 2003, theorem 5.1). Unlike
that of the direct engine it is no smaller where the data are small: next to a sample of 1e9, those of 1 come out with
an error of 1e9 eps. Measured, of random data, its root mean square is ``2 * eps * norm(kernel) * rms(x)``, which
is 0.6 to 0.95 times that of `scipy.signal.fftconvolve`.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np
from numba import types

from fastconv._engines import scheduler
from fastconv._engines.direct import DirectEngine
from fastconv._engines.layout import axis_of, stored
from fastconv._engines.layout import supports as has_type
from fastconv._engines.routines import (
    compiled_routine,
    fill_bytes,
    refuse_copies,
    rescale_parameters,
    store_routine,
    transfer_routine,
)
from fastconv._microkernels import fft_passes
from fastconv._microkernels import tile_loop as driver
from fastconv._microkernels.block_tables import RUN, Axis
from fastconv._model.arguments import Problem
from fastconv._model.geometry import ZERO, Run, runs
from fastconv._runtime import chunks
from fastconv._runtime.borrowed_arrays import lent
from fastconv._runtime.result_cache import kept
from fastconv._simd import compilation, complex_vectors

_COMPUTE = {("f", 4): types.float32, ("f", 8): types.float64, ("c", 8): types.float32, ("c", 16): types.float64}


def supports(problem: Problem) -> bool:
    """Whether the engine can compute the problem's result: floats, or complex numbers, of 32 or 64 bits, and a kernel
    that some tile can hold.
    """
    dtype = problem.sums
    if problem.finish is not None and problem.finish.premultiplied:
        return False  # channels are planes here, and know nothing of each other
    usable = (dtype.kind, dtype.itemsize) in _COMPUTE and has_type(dtype)
    return usable and _layout(problem) is not None


def estimate(problem: Problem) -> float:
    """About how many nanoseconds one thread takes for a problem that is supported, and for the kernel's spectrum."""
    layout = _layout(problem)
    assert layout is not None
    # A tile's cost compares tiles; beside the other methods it is a little more.
    more = {4: 1.05, 8: 1.25}[_compute_type(problem).bitwidth // 8] * (1.2 if layout.tile.folded else 1)
    last = len(problem.x_shape) - 1
    strided = len(problem.axes) == 2 and last not in problem.axes and problem.x_shape[last] > 1
    apart = _APART * math.prod(problem.out_shape) if strided else 0
    return _CALL + apart + more * layout.tile.cost * (1 + _KERNEL / (layout.units + 1))


_CALL = 15_000.0
# For an element that does not lie beside the next one, since channels are last: to fetch it and to bring it back.
_APART = 3.0


def _compute_type(problem: Problem):
    return _COMPUTE[problem.sums.kind, problem.sums.itemsize]


# ----------------------------------------------------------------------------------------------------- transforms


def radices(size: int) -> list[int]:
    """The passes of a transform: the last one is of radix 4, and the odd ones come first."""
    found, rest = [], size // 4
    for radix in (5, 3):
        while rest % radix == 0:
            found.append(radix)
            rest //= radix
    if rest.bit_length() % 2 == 0:
        found.append(2)
        rest //= 2
    return found + [4] * (rest.bit_length() // 2) + [4]


def roots(size: int, count: int | None = None) -> np.ndarray:
    """``exp(-2j * pi * k / size)`` for the first `count` of `k`, or all; angles from the nearest right angle on."""
    quarters = 4 * np.arange(size if count is None else count)
    near = (2 * quarters + size) // (2 * size)
    angle = (quarters - near * size) * (math.pi / 2 / size)
    return (np.cos(angle) - 1j * np.sin(angle)) * np.array([1, -1j, -1, 1j])[near % 4]


def scrambled(size: int) -> np.ndarray:
    """The frequency of each point of a forward transform."""
    order, stride = np.zeros(1, np.intp), 1
    for radix in radices(size):
        order = (order[:, np.newaxis] + stride * np.arange(radix)).ravel()
        stride *= radix
    return order


def _interleaved(values: np.ndarray, compute) -> np.ndarray:
    return np.stack([values.real, values.imag], -1).astype(compute.name)


class Transform(NamedTuple):
    """The passes of a transform, as the driver wants them, and the arrays whose addresses are among them."""

    passes: np.ndarray
    number: int
    tables: list[np.ndarray]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.passes.nbytes + sum(table.nbytes for table in self.tables)


_NO_TRANSFORM = Transform(np.zeros(0, driver.PASS.dtype), 0, [])


def _leaf(function, signature, compute) -> int:
    return compiled_routine(function, signature(compute))


@kept
def transform(size: int, compute) -> Transform:
    passes, tables, span = [], [], size
    for radix in radices(size):
        turns = np.outer(np.arange(span // radix), np.arange(1, radix))
        tables.append(_interleaved(roots(span)[turns], compute))
        span //= radix
        forward, backward = (
            _leaf(table[radix], fft_passes.signature, compute) for table in (fft_passes.FORWARD, fft_passes.BACKWARD)
        )
        passes.append((forward, backward, radix, span, tables[-1].ctypes.data))
    return Transform(np.array(passes, driver.PASS.dtype), len(passes), tables)


@kept
def _twist(rows: int, columns: int, compute) -> np.ndarray:
    """The factors between the columns and the rows of a folded tile: a register of real parts, one of imaginary.

    They are as large as the tile, so engines do not have them: there may be many.
    """
    lanes = complex_vectors.lanes_of(compute)
    # Some rows at a time, from a coarse root and a fine one: a table of all roots would take seconds for a large tile.
    coarse, fine = roots(rows), roots(rows * columns, columns)
    table = np.empty((rows, columns // lanes, 2, lanes), compute.name)
    frequencies, steps = scrambled(rows)[:, np.newaxis], np.arange(columns)
    for first in range(0, rows, 16):
        some = slice(first, first + 16)
        rest = frequencies[some] * steps
        turn = rest // columns
        rest -= turn * columns
        factors = (coarse.take(turn) * fine.take(rest)).reshape(-1, columns // lanes, lanes)
        table[some, :, 0], table[some, :, 1] = factors.real, factors.imag
    return table


# ----------------------------------------------------------------------------------------------------------- tiles


class Tile(NamedTuple):
    """A plane of points, and what is done to it."""

    rows: int
    columns: int
    down: bool  # whether its columns are transformed,
    across: bool  # and its rows
    folded: bool
    cost: float  # of all of them, in nanoseconds


def _sizes(compute) -> np.ndarray:
    """Lengths that can be transformed, and are a multiple of two vectors and of 16."""
    unit = max(16, 2 * complex_vectors.lanes_of(compute))
    found = {unit * odd << k for odd in (1, 3, 5, 9, 15) for k in range(17)}
    return np.array(sorted(size for size in found if size <= _LONGEST), np.intp)


_LONGEST = 1 << 20
_MOST_POINTS = 1 << 26

# Nanoseconds for a point of a tile, by the bytes of a number, as measured with AVX2 at 3.2 GHz: a pass of radix 4;
# transposition and the product; all that moves two riders between their arrays and the plane; the twiddle factors of a
# folded tile. And for a row of a tile, whatever its length.
_PASS = {4: 0.15, 8: 0.29}
_TURN = {4: 0.55, 8: 1.0}
_MOVE = {4: 1.1, 8: 1.8}
_TWIST = {4: 0.3, 8: 0.6}
_ROW = 40.0
# What the transform of the kernel costs, that of a tile and back being 1.
_KERNEL = 0.4
# The passes of other radices, per point, that of 4 being 1.
_BY_RADIX = {2: 0.85, 3: 1.2, 4: 1.0, 5: 1.65}
# How much slower all of it is where a plane has so many bytes.
_PLANE_BYTES = [2**19, 2**20, 2**21, 2**24, 2**26, 2**28]
_OUT_OF_CACHE = [1.0, 1.25, 1.5, 1.7, 2.5, 3.0]


@functools.cache  # of some 80 sizes
def _passes(size: int) -> float:
    """What the passes of a transform cost, that of a radix 4 being 1."""
    return sum(_BY_RADIX[radix] for radix in radices(size))


def _choose(row: Axis, column: Axis, planes: int, riders: int, compute) -> tuple[Tile | None, int]:
    """The tile that takes the least time, None where none can hold the kernel; and how many of them."""
    item, lanes = compute.bitwidth // 8, complex_vectors.lanes_of(compute)
    sizes = _sizes(compute)
    weights = np.array([_passes(int(size)) for size in sizes])
    move, turn, by_pass = _MOVE[item], _TURN[item], _PASS[item]

    def total(points, tiles, each, others=1):
        # One unit more than there are: that is how long, at the end, some threads wait for others.
        units = planes * others * -(-tiles // riders)
        slower = np.interp(np.log2(points * 2 * item), np.log2(_PLANE_BYTES), _OUT_OF_CACHE)
        return (units + 1) * points * each * slower

    def best(rows, columns, cost, down, across, folded):
        cost = np.where(rows * columns <= _MOST_POINTS, cost, np.inf)
        k = int(np.argmin(cost)) if cost.size else -1
        if k < 0 or not np.isfinite(cost.flat[k]):
            return None
        shape = np.broadcast_shapes(rows.shape, columns.shape)
        rows, columns = np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)
        return Tile(int(rows.flat[k]), int(columns.flat[k]), down, across, folded, float(cost.flat[k]))

    def fitting(axis):
        """Sizes that hold the taps, up to the one that holds all outputs."""
        enough = np.searchsorted(sizes, _alone(axis))
        use = slice(np.searchsorted(sizes, axis.taps), min(enough + 1, len(sizes)))
        return sizes[use], weights[use]

    def tiles(axis, size):
        return np.where(size >= _alone(axis), 1, -(-axis.outputs // np.maximum(1, size - axis.taps + 1)))

    found = []
    if row.taps > 1 and column.taps > 1:
        (r, rw), (c, cw) = fitting(row), fitting(column)
        r, rw = r[:, np.newaxis], rw[:, np.newaxis]
        each = move + _ROW / c + turn + 2 * by_pass * (rw + cw)
        found.append(best(r, c, total(r * c, tiles(row, r) * tiles(column, c), each), True, True, False))
    elif row.taps > 1:
        (r, rw), (c, _) = fitting(row), fitting(column)
        r, rw = r[:, np.newaxis], rw[:, np.newaxis]
        each = move + _ROW / c + 2 * by_pass * rw
        found.append(best(r, c, total(r * c, tiles(row, r), each, tiles(column, c)), True, False, False))
    else:
        c, cw = fitting(column)
        each = move + _ROW / c + turn + 2 * by_pass * cw
        r = np.full(1, lanes)
        found.append(best(r, c, total(r * c, tiles(column, c), each, tiles(row, r)), False, True, False))
        if row.outputs == 1:
            r, rw = sizes[:, np.newaxis], weights[:, np.newaxis]
            points, each = r * sizes, move + _ROW / sizes + turn + _TWIST[item] + 2 * by_pass * (rw + weights)
            fits = (points >= column.taps) & (r <= sizes) & (sizes <= 4 * r)
            cost = np.where(fits, total(points, tiles(column, points), each), np.inf)
            found.append(best(r, sizes, cost, True, True, True))
    tile = min((tile for tile in found if tile is not None), key=lambda tile: tile.cost, default=None)
    if tile is None:
        return None, 0
    down, across = (1, tile.rows * tile.columns) if tile.folded else (tile.rows, tile.columns)
    down_tiles, across_tiles = int(tiles(row, down)), int(tiles(column, across))
    if tile.down and tile.across:
        return tile, planes * -(-down_tiles * across_tiles // riders)
    along, others = (down_tiles, across_tiles) if tile.down else (across_tiles, down_tiles)
    return tile, planes * others * -(-along // riders)


# ---------------------------------------------------------------------------------------------------------- engine


def _stages(compute, riders: int, folded: bool, alike: bool) -> dict[str, int]:
    """Addresses of the routines between the passes of a tile, by field of the job."""

    def middle(function):
        return _leaf(function, fft_passes.middle_signature, compute)

    return {
        "to_plane": _leaf(
            fft_passes.interleave_pair if riders == 2 else fft_passes.deinterleave_complex,
            fft_passes.staging_signature,
            compute,
        ),
        "from_plane": _leaf(
            fft_passes.deinterleave_pair if riders == 2 else fft_passes.interleave_complex,
            fft_passes.staging_signature,
            compute,
        ),
        "transpose_rows": _leaf(fft_passes.transpose_rows, fft_passes.rows_signature, compute),
        "transpose_back": _leaf(fft_passes.transpose_back, fft_passes.rows_signature, compute),
        "last_column_pass": middle(fft_passes.four_step_twiddle if folded else fft_passes.last_pass),
        "last_row_pass": middle(fft_passes.last_pass),
        "product": middle(fft_passes.spectrum_product_uniform if alike else fft_passes.spectrum_product),
        "first_column_pass_back": middle(fft_passes.four_step_twiddle_back if folded else fft_passes.first_pass_back),
    }


def compile_all(problem: Problem) -> None:
    """Compile what problems of these types need, whatever their sizes."""
    compute = _compute_type(problem)
    for folded, alike in ((False, True), (False, False), (True, False)):
        _stages(compute, 1 if problem.sums.kind == "c" else 2, folded, alike)
    transform(480, compute)  # passes of every radix


class Spectrum(NamedTuple):
    """What `SpectralEngine.prepare` makes of a kernel."""

    kernel: np.ndarray
    job: np.ndarray
    twist: np.ndarray | None  # the job has its address
    table: np.ndarray | None  # None where the kernel is not finite

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self if array is not None)


_WORK_FOR_THREADS = 150_000  # nanoseconds
_WORK_BETWEEN_SIGNALS = 10_000_000
# A plane with more bytes is shared out, in so many parts, where there are fewer than so many planes.
_LARGE_PLANE = 1 << 23
_SHARES = 32


class SpectralEngine:
    """Convolutions of one `Problem`, by way of their spectra; to be called with any arrays of its types and sizes."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    def __init__(self, problem: Problem):
        self._problem = problem
        compute = _compute_type(problem)
        self._compute = compute
        item, lanes = compute.bitwidth // 8, complex_vectors.lanes_of(compute)
        x_parts = 2 if problem.x_dtype.kind == "c" else 1
        out_parts = 2 if problem.sums.kind == "c" else 1
        riders = 2 if out_parts == 1 else 1
        self._riders = riders
        layout = _layout(problem)
        assert layout is not None
        tile, row, column, kernel_row, kernel_column, row_axis, column_axis, planes, _ = layout
        self._tile, self._row, self._column = tile, row, column
        self._kernel_order = kernel_row, kernel_column
        self._batch = [axis for axis in range(len(problem.x_shape)) if axis not in (row, column)]

        # A pitch that is a power of two would put a column into few sets of the cache.
        pitch = 2 * tile.columns + 64 // item
        # Not so many rows on the stage that they drive others out of the first cache, enough to transpose them.
        stage_rows = min(tile.rows, max(lanes, 8192 // item // tile.columns))
        transforms = [
            transform(size, compute) if transformed else _NO_TRANSFORM
            for size, transformed in ((tile.rows, tile.down), (tile.columns, tile.across))
        ]
        down_size, across_size = (1, tile.rows * tile.columns) if tile.folded else (tile.rows, tile.columns)
        down = _axis_job(row_axis, down_size, tile.down, transforms[0])
        across = _axis_job(column_axis, across_size, tile.across, transforms[1])
        self._cut = (row, "down"), (column, "across")
        # Lines that are not to be mixed do not ride together either: only tiles along the same ones do.
        self._down_first = tile.down and not tile.across
        down_tiles, across_tiles = int(down[0]["tiles"]), int(across[0]["tiles"])
        self._down_tiles, self._across_tiles, tiles = down_tiles, across_tiles, down_tiles * across_tiles
        self._group = tiles if tile.down and tile.across else down_tiles if tile.down else across_tiles
        self._units_of_group = -(-self._group // riders)
        self._units_of_plane = tiles // self._group * self._units_of_group
        self._units = planes * self._units_of_plane
        self._unit_work = max(1, tile.cost / (self._units + 1))
        plane_bytes = tile.rows * pitch * item
        # A plane that no cache of one thread holds, and of which there are few: let all threads work at one.
        shares = _SHARES if plane_bytes > _LARGE_PLANE and self._units < _SHARES else 1
        self._shared = plane_bytes if shares > 1 else 0
        self._pieces = shares if shares > 1 else self._units
        self._alone = tile.cost < _WORK_FOR_THREADS or self._pieces == 1
        points_at = -(-driver.HEAD.dtype.itemsize // 64) * 64
        stage_at = points_at + 2 * lanes * tile.columns * item
        stage_bytes = stage_rows * tile.columns * item
        plane_at = stage_at + 2 * stage_bytes
        self._scratch_bytes = plane_at + (0 if self._shared else plane_bytes)

        x_type = stored(problem.x_dtype, compute)
        self._rescale = rescale_parameters(problem.finish, compute)  # the job has its address
        alike = not (tile.down and tile.across)
        batch = np.array(self._batch, np.intp)
        fields = {
            "pack": transfer_routine(x_type, compute, not problem.x_dtype.isnative),
            "fill": transfer_routine(compute, compute),
            "fill_value": fill_bytes(problem, compute),
            "store": store_routine(problem.finish, compute, stored(problem.dtype, compute)),
            "rescale": 0 if self._rescale is None else self._rescale.ctypes.data,
            **_stages(compute, riders, tile.folded, alike),
            "item": item,
            "x_item": problem.x_dtype.itemsize // x_parts,
            "packed_tiles": riders,
            "parts": out_parts,
            "x_parts": x_parts,
            "four_step": tile.folded,
            "rows": tile.rows,
            "columns": tile.columns,
            "row_axis": row,
            "column_axis": column,
            "batch_rank": len(batch),
            "batch_axes": batch.ctypes.data,
            "units": self._units,
            "units_of_plane": self._units_of_plane,
            "group": self._group,
            "units_of_group": self._units_of_group,
            "down_first": self._down_first,
            "lanes": lanes,
            "pitch": pitch,
            "staging_rows": stage_rows,
            "plane_at": plane_at,
            "transposed_at": points_at,
            "staging_at": stage_at,
            "second_staging_at": stage_at + stage_bytes,
            "shares": shares,
            "share_rows": -(-tile.rows // shares // lanes) * lanes,
            "share_columns": -(-tile.columns // shares // lanes) * lanes,
            "down": down[0],
            "across": across[0],
        }
        job = np.zeros((), driver.TILE_JOB.dtype)
        for name, value in fields.items():
            job[name] = value
        self._job = job
        self._keep = transforms, down, across, batch  # the job has their addresses
        self.nbytes = sum(part.nbytes for part in (job, *transforms, *down[1], *across[1]))
        self._run, self._prepare = _entries()
        if not self._alone:
            scheduler.epoch_waiter()

    def _job_and_twist(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The job, and the table that it has the address of."""
        tile = self._tile
        if not tile.folded:
            return self._job, None
        job, twist = self._job.copy(), _twist(tile.rows, tile.columns, self._compute)
        job["four_step_twiddles"] = twist.ctypes.data
        return job, twist

    def prepare(self, kernel: np.ndarray, workers: int | None = None) -> Spectrum:
        """The spectrum of a kernel, for `run`."""
        kernel = chunks.converted(kernel, kernel.dtype)
        if not chunks.is_finite(kernel) and not np.isfinite(kernel).all():
            return Spectrum(kernel, self._job, None, None)
        taps = kernel if self._problem.flip else np.flip(kernel)
        if taps.ndim == 2 and self._kernel_order == (1, 0):
            taps = taps.T
        elif taps.ndim == 1:
            taps = taps[np.newaxis] if self._kernel_order[1] == 0 else taps[:, np.newaxis]
        tile, compute = self._tile, self._compute
        job, twist = self._job_and_twist()
        rows, columns, lanes, pitch = tile.rows, tile.columns, int(job["lanes"]), int(job["pitch"])
        if tile.folded:
            used = -(-taps.size // columns)
            line = np.zeros(used * columns, taps.dtype)
            chunks.copy(line[: taps.size], taps[0])
            taps = line.reshape(used, columns)
        # Zeros cost nothing where nobody looks, and of a plane the columns beyond the kernel's are never looked at.
        plane = chunks.zeros((rows, pitch), compute.name)
        groups = plane[:, : 2 * columns].reshape(rows, -1, 2, lanes)
        width = -(-taps.shape[1] // lanes) * lanes
        for part, values in enumerate((taps.real, taps.imag) if taps.dtype.kind == "c" else (taps,)):
            for above in chunks.slabs(taps.shape[:1], max(1, chunks.MOST // width)):
                some = values[above]
                block = np.zeros((some.shape[0], width), compute.name)
                block[:, : taps.shape[1]] = some
                groups[: taps.shape[0], : width // lanes, part][above] = block.reshape(some.shape[0], -1, lanes)
        raw = chunks.zeros((rows * columns * 2 * plane.itemsize + 64,), np.uint8)
        table = raw[-raw.ctypes.data % 64 :][: raw.size - 64].view(compute.name)
        addresses = plane.ctypes.data, table.ctypes.data
        for down, end, used in ((1, width, tile.down), (0, rows, True)):
            if used:
                step = -(-end // lanes // (_SHARES if self._shared else 1)) * lanes
                parts = [(job, *addresses, down, k, min(k + step, end)) for k in range(0, end, step)]
                threads = scheduler.threads_for(len(parts), workers)
                scheduler.run_each(self._prepare, parts, threads)
        table = table.reshape(rows // lanes, columns, 2, lanes)
        if not tile.down:
            table = np.ascontiguousarray(table[0, :, :, 0])
        elif not tile.across:
            table = np.ascontiguousarray(table[:, 0].transpose(0, 2, 1))
        points = (rows if tile.down else 1) * (columns if tile.across else 1)
        with np.errstate(under="ignore"):
            for slab in chunks.slabs(table.shape):
                table[slab] *= table.dtype.type(1 / points)
        return Spectrum(kernel, job, twist, table)

    def run(self, x: np.ndarray, spectrum: Spectrum, out: np.ndarray, workers: int | None) -> bool:
        """Fill `out`; False where this engine cannot, and has not touched it, as `DirectEngine`.

        At most `workers` threads compute, None for as many as there are, and one where the work is small.
        """
        if spectrum.table is None:
            return DirectEngine(self._problem)(x, spectrum.kernel, out, workers)
        flags = np.zeros(self._units, np.intp)
        job = spectrum.job
        if not self._shared:
            self._share(job, x, out, spectrum.table, workers, flags, 0, 0, sum(driver.ALL_STEPS))
        else:
            plane = chunks.zeros((self._shared + 64,), np.uint8)
            address = -(-plane.ctypes.data // 64) * 64
            for unit in range(self._units):
                for step in driver.ALL_STEPS:
                    self._share(job, x, out, spectrum.table, workers, flags, address, unit, step)
        if flags.any():
            self._repair(x, spectrum.kernel, out, flags, workers)
        return True

    def _share(self, job, x, out, table, workers, flags, plane, unit, steps) -> None:
        """Do these steps, of all units or of one shared plane."""
        pieces, address = self._pieces, table.ctypes.data
        threads = 1 if self._alone else scheduler.threads_for(pieces, workers)
        limit = max(1, int(_WORK_BETWEEN_SIGNALS * self._units / pieces / self._unit_work))
        limit, after_call = scheduler.pieces_per_call(limit, pieces, threads, (x, out))
        arrays = lent(x), lent(out)

        def step(progress, max_spins, scratch):
            return self._run(*arrays, job, progress, flags, address, limit, max_spins, scratch)

        scheduler.run(step, pieces, self._scratch_bytes, threads, (plane, unit, steps), after_call)

    def _repair(self, x, kernel, out, flags, workers) -> None:
        """Compute directly what came out infinite or as no number: each result then shows its own footprint only."""
        if flags.all():
            DirectEngine(self._problem)(x, kernel, out, workers)
            return
        for where in self._rectangles(np.flatnonzero(flags)):
            problem = self._problem
            starts, source = list(problem.starts), list(where)
            for k, axis in enumerate(problem.axes):
                starts[k] += where[axis].start
                source[axis] = slice(None)
            x_part, out_part = x[tuple(source)], out[tuple(where)]
            problem = problem._replace(x_shape=x_part.shape, out_shape=out_part.shape, starts=tuple(starts))
            DirectEngine(problem)(x_part, kernel, out_part, workers)

    def _rectangles(self, units) -> list[tuple[slice, ...]]:
        """Parts of the output that cover the tiles of these units.

        The last axis is never cut where it is not convolved: by its length the direct engine chooses the order in
        which it sums, and the parts must be what the whole would be.
        """
        shape, last = self._problem.out_shape, len(self._problem.out_shape) - 1
        axes = [(axis, int(self._job[name]["step"])) for axis, name in self._cut if axis >= 0]
        found: dict[tuple, set[tuple[int, int]]] = {}
        for unit in units:
            index, first = divmod(int(unit), self._units_of_plane)
            place = {}
            for axis in self._batch:
                index, at = divmod(index, shape[axis])
                place[axis] = at, at + 1
            group, rider = divmod(first, self._units_of_group)
            begin, rider = group * self._group, rider * self._riders
            for tile in range(begin + rider, begin + min(rider + self._riders, self._group)):
                both = divmod(tile, self._across_tiles)
                if self._down_first:
                    both = divmod(tile, self._down_tiles)[::-1]
                numbers = dict(zip((self._row, self._column), both))
                spans = dict(place)
                for axis, step in axes:
                    spans[axis] = numbers[axis] * step, min((numbers[axis] + 1) * step, shape[axis])
                if last not in self._problem.axes:
                    spans[last] = 0, shape[last]
                along = spans.pop(self._column)
                found.setdefault(tuple(sorted(spans.items())), set()).add(along)
        return [
            tuple(slice(*ends) for _, ends in sorted([*others, (self._column, along)]))
            for others, spans in found.items()
            for along in _joined(spans)
        ]


def _joined(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch or overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and joined[-1][1] >= start:
            start, stop = joined[-1][0], max(joined.pop()[1], stop)
        joined.append((start, stop))
    return joined


class Layout(NamedTuple):
    """A tile, and what its axes are: of the input and the kernel, -1 for none; and the planes of a batch."""

    tile: Tile
    row: int
    column: int
    kernel_row: int
    kernel_column: int
    row_axis: Axis
    column_axis: Axis
    planes: int
    units: int


@kept
def _layout(problem: Problem) -> Layout | None:
    """The layout that takes the least time."""
    compute = _compute_type(problem)
    riders = 2 if problem.sums.kind == "f" else 1
    found = []
    for row, column, kernel_row, kernel_column in _layouts(problem):
        axes = axis_of(problem, row, kernel_row), axis_of(problem, column, kernel_column)
        planes = math.prod(n for axis, n in enumerate(problem.x_shape) if axis not in (row, column))
        tile, units = _choose(*axes, planes, riders, compute)
        if tile is not None:
            found.append(Layout(tile, row, column, kernel_row, kernel_column, *axes, planes, units))
    return min(found, key=lambda layout: layout.tile.cost, default=None)


def _layouts(problem: Problem):
    """Row and column axes that a tile may have, -1 for none, and the kernel's axes along them; others are a batch."""
    last = len(problem.x_shape) - 1
    if len(problem.axes) == 2:
        kernel_row, kernel_column = (0, 1) if problem.axes[0] < problem.axes[1] else (1, 0)
        row, column = sorted(problem.axes)
        yield row, column, kernel_row, kernel_column
        return
    (axis,) = problem.axes
    yield -1, axis, -1, 0
    if axis == last and axis > 0:
        yield axis - 1, axis, -1, 0
    elif axis < last:
        yield axis, last, 0, -1


def _alone(axis: Axis) -> int:
    """The least size at which one tile is enough, however many taps: where nothing is outside, nothing wraps around."""
    every = axis.outputs + axis.taps - 1
    start, whole = axis.first + axis.taps - 1, axis.samples + axis.taps - 1
    # A kernel that has lost zeros around it may have outputs before the full convolution begins, and after its end.
    within = axis.boundary == ZERO and 0 <= start and start + axis.outputs <= whole
    return min(every, whole) if within else every


def _axis_job(axis: Axis, size: int, transformed: bool, passes: Transform):
    """Return the record of an axis for the tile loop, and the tables that it refers to."""
    skip, reach, first = axis.taps - 1, axis.taps - 1, axis.first
    if size - skip < axis.outputs and size >= _alone(axis):
        step, skip, reach, first = axis.outputs, axis.first + axis.taps - 1, axis.samples - axis.outputs, 0
    else:
        step = min(size - skip, axis.outputs)
    tiles = -(-axis.outputs // step)
    lead = min(tiles, max(0, -(first // step)))
    tail = min(tiles, max(lead, (axis.samples - first - step - reach) // step + 1))
    edges: list[tuple[int, int, bool]] = []
    table: list[Run] = []
    for tile in (*range(lead), *range(tail, tiles)):
        start = tile * step
        needed = min(step, axis.outputs - start) + reach
        found = runs(start + first, needed, axis.samples, axis.boundary)
        there = [run for run in found if run.source >= 0 or axis.boundary != ZERO]
        edges.append((len(table), len(table) + len(there), needed < size or len(there) < len(found)))
        table += there
    arrays = np.array(edges, driver.EDGE.dtype), np.array(table, RUN.dtype)
    fields = {
        "transformed": transformed,
        "size": size,
        "step": step,
        "tiles": tiles,
        "outputs": axis.outputs,
        "first_sample": first,
        "extra_samples": reach,
        "skip": skip,
        "lead": lead,
        "tail": tail,
        "edges": arrays[0].ctypes.data,
        "runs": arrays[1].ctypes.data,
        "passes": passes.passes.ctypes.data,
        "pass_count": passes.number,
    }
    job = np.zeros((), driver.AXIS.dtype)
    for name, value in fields.items():
        job[name] = value
    return job, arrays


@compilation.once
def _entries():
    run = compilation.compile_entry(driver.run, driver.signature())
    return run, compilation.compile_entry(driver.prepare, driver.prepare_signature())
