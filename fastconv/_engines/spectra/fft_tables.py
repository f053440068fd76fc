"""Tables of the transforms: radices, roots of unity, the order of frequencies, twiddle factors."""

from __future__ import annotations

import math
from typing import NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._engines.routine_addresses import compiled_routine, refuse_copies
from fastconv._microkernels.spectra import fft_passes, tile_job
from fastconv._runtime.bounded_cache import kept
from fastconv._simd import complex_vectors


def radices(size: int) -> list[int]:
    """The radices of the passes of a transform: odd ones first, 4 last."""
    if size == 1:
        return []
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
    """``exp(-2j * pi * k / size)`` for the first `count` of `k`, or all.

    Angles are measured from the nearest multiple of 90 degrees, for full precision.
    """
    quarters = 4 * np.arange(size if count is None else count)
    near = (2 * quarters + size) // (2 * size)
    angle = (quarters - near * size) * (math.pi / 2 / size)
    return (np.cos(angle) - 1j * np.sin(angle)) * np.array([1, -1j, -1, 1j])[near % 4]


def frequencies(size: int) -> np.ndarray:
    """The frequency at each point of a forward transform, whose output is in digit-reversed order."""
    order, stride = np.zeros(1, np.intp), 1
    for radix in radices(size):
        order = (order[:, np.newaxis] + stride * np.arange(radix)).ravel()
        stride *= radix
    return order


class Transform(NamedTuple):
    """The passes of a transform as records of `tile_job`, and the arrays whose addresses they hold."""

    passes: np.ndarray
    number: int
    tables: list[np.ndarray]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copies(self)

    @property
    def nbytes(self) -> int:
        return self.passes.nbytes + sum(table.nbytes for table in self.tables)


NO_TRANSFORM = Transform(np.zeros(0, tile_job.PASS.dtype), 0, [])


@kept
def transform(size: int, compute) -> Transform:
    """Compiled passes and roots of unity of a transform of `size` points."""
    passes, tables, span = [], [], size
    for radix in radices(size):
        turns = np.outer(np.arange(span // radix), np.arange(1, radix))
        tables.append(_interleaved(roots(span)[turns], compute))
        span //= radix
        forward, backward = (
            compiled_routine(table[radix], fft_passes.signature(compute))
            for table in (fft_passes.FORWARD, fft_passes.BACKWARD)
        )
        passes.append((forward, backward, radix, span, tables[-1].ctypes.data))
    return Transform(np.array(passes, tile_job.PASS.dtype), len(passes), tables)


def _interleaved(values: np.ndarray, compute) -> np.ndarray:
    return np.stack([values.real, values.imag], -1).astype(compute.name)


@kept
def twiddles(rows: int, columns: int, compute) -> np.ndarray:
    """Four-step twiddle factors of a plane: a vector of real parts, then one of imaginary parts.

    The table is as large as the tile, so engines, of which there may be many, do not keep it.
    """
    lanes = complex_vectors.lanes_of(compute)
    # Some rows at a time, from a coarse root and a fine one: a table of all roots would take seconds for a large tile.
    coarse, fine = roots(rows), roots(rows * columns, columns)
    table = np.empty((rows, columns // lanes, 2, lanes), compute.name)
    row_frequencies, steps = frequencies(rows)[:, np.newaxis], np.arange(columns)
    for first in range(0, rows, 16):
        some = slice(first, first + 16)
        rest = row_frequencies[some] * steps
        turn = rest // columns
        rest -= turn * columns
        factors = (coarse.take(turn) * fine.take(rest)).reshape(-1, columns // lanes, lanes)
        table[some, :, 0], table[some, :, 1] = factors.real, factors.imag
    return table
