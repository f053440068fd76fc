"""Lines of sums down the columns of windows: rows of samples that are copied, and added up."""

from __future__ import annotations

from fastconv._microkernels.pictures.window_job import row_of
from fastconv._simd import compilation
from fastconv._simd.memory import address_of, advance, as_element, integers_at, load, pointer_to, store
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
def sum_rows(src, job, scratch, plane, row, to, count):
    """Add up the rows of the window that begins at `row`, a few vectors at a time in registers."""
    addresses, lanes, rows = integers_at(scratch + job.addresses_at, 0), lanes_of(to), job.rows
    for t in range(rows):
        addresses[t] = address_of(row_of(src, job, scratch, plane, row + t))
    whole = count - count % (2 * lanes)
    for j in range(0, whole, 2 * lanes):
        samples = advance(pointer_to(src, addresses[0]), j)
        total, other = load_vector(samples, to), load_vector(advance(samples, lanes), to)
        for t in range(1, rows):
            samples = advance(pointer_to(src, addresses[t]), j)
            total, other = add_vector(total, samples), add_vector(other, advance(samples, lanes))
        store_vector(total, advance(to, j))
        store_vector(other, advance(to, j + lanes))
    for j in range(whole, count):
        single = as_element(to, load(advance(pointer_to(src, addresses[0]), j)))
        for t in range(1, rows):
            single += as_element(to, load(advance(pointer_to(src, addresses[t]), j)))
        store(advance(to, j), single)
