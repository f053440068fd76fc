"""Two passes for separable kernels: along the rows, then down the columns.

A kernel of ``rows x taps`` then costs ``rows + taps`` multiplications for an output. Between the passes lies a buffer
of lines that stays in cache. A strip of output is computed from top to bottom, a few lines of input in each call; the
last ``rows - 1`` lines are kept, so that within a strip no line is computed twice.
"""

from __future__ import annotations

from numba import types

from fastconv._microkernels.blocks.direct_tile import (
    convolve_rows,
    convolve_symmetric_rows,
    sweep_columns,
    sweep_columns_down,
)
from fastconv._simd import compilation
from fastconv._simd.memory import advance, load, store
from fastconv._simd.register_tiles import sum_of_lanes

# Lines of input in each call (more for very tall images), and the calls before the lines kept must be moved to the top
# of the buffer. Of 4, 8, 12, 16 and 32 lines, 8 are the fastest with AVX2, from 5x5 to 31x31.
LINES = 8
TIMES = 8
# Elements at the start of the buffer, a cache line or more: the first is where `pass_twice` reports results that are
# not finite.
HEAD = 64


def buffered(rows: int, at_a_time: int) -> int:
    """Lines of the buffer, behind its head."""
    return rows - 1 + at_a_time * TIMES


def signature(dtype):
    """Signature of `pass_twice` for one element type."""
    pointer, n = types.CPointer(dtype), types.intp
    return types.void(pointer, n, pointer, pointer, n, n, n, n, pointer, n, n, n, n, n, n)


def _make_filter(rows_of, columns_of):
    """`filter_lines` with one way to convolve rows, and columns."""
    rows_of = compilation.inline(rows_of)

    @compilation.inline
    def filter_lines(
        x, x_pitch, weights, lines, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
    ):
        """`pass_twice`, with the lines kept between calls; returns a tile that has NaNs if a result is not finite."""
        at = number % TIMES * at_a_time
        if at == 0 and number > 0:
            for k in range((rows - 1) * pitch):
                store(advance(lines, k), load(advance(lines, TIMES * at_a_time * pitch + k)))
        new = advance(lines, (rows - 1 + at) * pitch)
        rows_of(x, x_pitch, weights, taps, new, pitch, samples, columns, 1, taps, step)
        first = advance(new, (samples - height - rows + 1) * pitch)
        return columns_of(first, pitch, advance(weights, taps), out, out_pitch, height, columns, rows)

    return filter_lines


filter_lines = _make_filter(convolve_symmetric_rows, sweep_columns)
filter_integer_lines = _make_filter(convolve_rows, sweep_columns_down)


def _make(name: str, filter_lines):
    """`pass_twice` with one way to filter lines."""

    def pass_twice(
        x,
        x_pitch,
        weights,
        buffer,
        pitch,
        number,
        at_a_time,
        samples,
        out,
        out_pitch,
        height,
        columns,
        rows,
        taps,
        step,
    ):
        """Convolve the next lines of a strip, and compute the rows of output that are complete with them.

        If a result is not finite, the first element of the buffer becomes a NaN; otherwise it is unchanged.

        Parameters
        ----------
        x, x_pitch
            The lines, `samples` of them: `at_a_time`, or fewer at the end of a strip. Pitches are in elements.
        weights
            The row factor, and behind it the column factor.
        buffer, pitch
            Memory for the lines kept between calls: `HEAD` elements, and `buffered` lines.
        number
            Index of the call in its strip.
        out, out_pitch
            Where `height` rows go.
        columns, rows, taps, step
            As for the microkernels.
        """
        lines = advance(buffer, HEAD)
        not_finite = filter_lines(
            x, x_pitch, weights, lines, pitch, number, at_a_time, samples,
            out, out_pitch, height, columns, rows, taps, step,
        )  # fmt: skip
        store(buffer, load(buffer) + sum_of_lanes(not_finite))

    pass_twice.__name__ = name
    return pass_twice


pass_twice = _make("pass_twice", filter_lines)
pass_integers_twice = _make("pass_integers_twice", filter_integer_lines)
