"""Magnitudes of two derivatives by separable kernels of one size: the passes of both, strip by strip, in cache."""

from __future__ import annotations

from fastconv._microkernels.blocks.separable_passes import HEAD, buffered, filter_lines
from fastconv._microkernels.pictures.magnitudes import combine
from fastconv._simd import compilation
from fastconv._simd.memory import advance, load, store
from fastconv._simd.register_tiles import sum_of_lanes


def room(rows: int, at_a_time: int) -> int:
    """Lines of the buffer, behind its head: those of both derivatives, and results of the second one."""
    return 2 * buffered(rows, at_a_time) + at_a_time


_inlined_buffered = compilation.inline(buffered)


def pass_magnitudes(
    x, x_pitch, weights, buffer, pitch, number, at_a_time, samples, out, out_pitch, height, columns, rows, taps, step
):
    """Filter the next lines of a strip by both kernels, and compute the magnitudes that are complete with them.

    Parameters are those of `separable_passes.pass_twice`, for float32, with the weights of both kernels one after the
    other, and the buffer of `room` lines.
    """
    lines, size = advance(buffer, HEAD), _inlined_buffered(rows, at_a_time) * pitch
    second = advance(lines, 2 * size)
    for part in range(2):
        target, target_pitch = (second, pitch) if part else (out, out_pitch)
        not_finite = filter_lines(
            x, x_pitch, advance(weights, part * (rows + taps)), advance(lines, part * size), pitch, number, at_a_time,
            samples, target, target_pitch, height, columns, rows, taps, step,
        )  # fmt: skip
        store(buffer, load(buffer) + sum_of_lanes(not_finite))
    for r in range(height):
        row = advance(out, r * out_pitch)
        combine(row, advance(second, r * pitch), row, columns)
