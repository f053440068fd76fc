"""Lines of sums over windows: copied, added up, turned into the lanes of vectors, and stored from there."""

from __future__ import annotations

from fastconv._simd import compilation
from fastconv._simd.lane_copies import copy_transposed
from fastconv._simd.memory import advance, as_element, load, store
from fastconv._simd.window_lanes import add_vector, lanes_of, load_vector, store_vector


@compilation.inline
def copy_line(samples, to, count):
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(load_vector(advance(samples, j), to), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), as_element(to, load(advance(samples, j))))


@compilation.inline
def add_line(line, samples, to, count):
    """``line + samples``"""
    whole = count - count % lanes_of(to)
    for j in range(0, whole, lanes_of(to)):
        store_vector(add_vector(load_vector(advance(line, j), to), advance(samples, j)), advance(to, j))
    for j in range(whole, count):
        store(advance(to, j), load(advance(line, j)) + as_element(to, load(advance(samples, j))))


@compilation.inline
def turn(lines, turned, job):
    """Transpose as many lines as a vector has lanes: each becomes a lane."""
    lanes = lanes_of(lines)
    for j in range(0, job.extended * job.channels, lanes):
        copy_transposed(advance(lines, j), 8 * job.line_pitch, advance(turned, j * lanes), 8 * lanes, True, False)


@compilation.inline
def store_turned(turned, job, dst, place_row, rows):
    """Store results of lines that were turned as rows of the output."""
    lanes, out_line = lanes_of(turned), job.out_line
    whole = out_line - out_line % lanes if rows == lanes else 0
    place, pitch_bytes = advance(dst, place_row * out_line), out_line * job.result_bytes
    for j in range(0, whole, lanes):
        copy_transposed(advance(turned, j * lanes), 8 * lanes, advance(place, j), pitch_bytes, True, False)
    for q in range(rows):
        for j in range(whole, out_line):
            store(advance(place, q * out_line + j), load(advance(turned, j * lanes + q)))
