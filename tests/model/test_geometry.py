"""Lengths, starts and runs against the reference."""

import doctest

import pytest

from fastconv import reference
from fastconv._model import geometry
from fastconv._model.geometry import BOUNDARIES, MODES, products_inside, runs, span


def test_doctests():
    assert doctest.testmod(geometry).failed == 0


@pytest.mark.parametrize("mode", MODES)
def test_span_equals_the_reference(mode):
    for n in range(1, 9):
        for m in range(1, 9):
            first, last = reference.output_range(mode, n, m)
            assert span(mode, n, m) == (last - first, first)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(("code", "boundary"), list(enumerate(BOUNDARIES)))
def test_runs_equal_the_reference(code, boundary, step):
    for extent in range(1, 7):
        for position in range(-20, 20):
            for count in (1, 2, 5, 13):
                found = []
                for run in runs(position, count, extent, code, step):
                    assert run.offset == len(found)
                    assert run.length > 0
                    assert run.direction in (0, step, -step)
                    outside = [None] * run.length
                    inside = [run.source + k * run.direction for k in range(run.length)]
                    found += outside if run.source < 0 else inside
                positions = (position + step * k for k in range(count))
                assert found == [reference.source_index(at, extent, boundary) for at in positions]


def test_runs_are_as_long_as_possible():
    # One inside, and one for each period of the extension.
    assert len(runs(2, 5, 10, geometry.REFLECT)) == 1
    assert len(runs(-1000, 3000, 1000, geometry.NEAREST)) == 3
    assert len(runs(-1000, 3000, 1000, geometry.WRAP)) == 3


def test_products_inside_are_counted_one_by_one():
    for samples in (1, 2, 5, 9):
        for taps in (1, 2, 4, 11):
            for outputs in (1, 3, 12):
                for first in range(-13, 10):
                    inside = sum(0 <= o + first + t < samples for o in range(outputs) for t in range(taps))
                    assert products_inside(samples, taps, outputs, first) == inside
