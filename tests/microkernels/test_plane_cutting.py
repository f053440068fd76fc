"""The tables of stacks of planes: every output once, and the sample of each tap by way of its phase."""

import math

import numpy as np
import pytest

from fastconv import reference
from fastconv._microkernels.planes.plane_cutting import (
    SampleTable,
    StridedAxis,
    add_taps,
    cut_columns,
    cut_planes,
    cut_rows,
)
from fastconv._model.geometry import BOUNDARIES

STEPS = [(1, 1), (2, 1), (1, 2), (3, 2), (2, 4), (4, 6), (6, 4), (5, 5), (7, 3)]


def samples_of(tables, entry):
    """Indices of the samples of an entry, None outside."""
    samples, found = tables["samples"][entry], []
    for run in tables["runs"][samples["first_run"] : samples["stop_run"]]:
        assert run["offset"] == len(found)
        inside = [int(run["source"] + k * run["direction"]) for k in range(run["length"])]
        found += inside if run["source"] >= 0 else [None] * int(run["length"])
    return found


def wanted(axis, output, tap):
    position = axis.first + axis.stride * output + axis.dilation * tap
    return reference.source_index(position, axis.samples, BOUNDARIES[axis.boundary])


def axes():
    for stride, dilation in STEPS:
        for taps in (1, 2, 3, 5):
            for boundary in range(len(BOUNDARIES)):
                yield StridedAxis(11, 9, taps, -4, boundary, stride, dilation)


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_every_tap_of_every_output_finds_its_sample(size):
    for axis in axes():
        assert sum(axis.phases) == axis.taps
        for cut, distance in ((cut_rows, 1), (cut_columns, axis.spacing)):
            table = SampleTable()
            blocks = cut(table, axis, size, 2)
            tables, seen = table.tables(), []
            for block in blocks:
                assert 0 < block["length"] <= size
                seen += [int(block["start"] + block["step"] * k) for k in range(block["length"])]
                for phase, taps in enumerate(axis.phases):
                    samples = samples_of(tables, block["samples"] + phase)
                    for k in range(block["length"]):
                        for i in range(taps):
                            output, tap = block["start"] + block["step"] * k, phase + axis.phase_step * i
                            assert samples[k + distance * i] == wanted(axis, output, tap)
                entries = tables["samples"][block["samples"] : block["samples"] + len(axis.phases)]
                assert block["inside"] == (entries["source"] >= 0).all()
            assert sorted(seen) == list(range(axis.outputs))


def test_samples_of_a_stride_that_is_not_dealt_out_are_adjacent():
    for boundary in range(len(BOUNDARIES)):
        for taps in (2, 3, 5):
            axis, table = StridedAxis(11, 9, taps, -4, boundary, 2, undealt=True), SampleTable()
            assert axis.phases == [taps]
            blocks = cut_columns(table, axis, 4, 2)
            for block in blocks:
                samples = samples_of(table.tables(), block["samples"])
                assert len(samples) == 2 * (block["length"] - 1) + taps
                for k in range(block["length"]):
                    for tap in range(taps):
                        assert samples[2 * k + tap] == wanted(axis, block["start"] + k, tap)


def test_outputs_with_samples_outside_are_kept_apart():
    axis = StridedAxis(100, 104, 5, -4, 0)
    for cut in (cut_rows, cut_columns):
        blocks = cut(SampleTable(), axis, 50, 8, True)
        assert [(block["start"], block["length"]) for block in blocks] == [(0, 8), (8, 40), (48, 48), (96, 8)]
        assert blocks["inside"].tolist() == [False, True, True, False]
        few = cut(SampleTable(), axis._replace(samples=36, outputs=40), 50, 8, True)
        assert [(block["start"], block["length"]) for block in few] == [(0, 40)]


def test_planes_are_cut_into_classes_that_share_samples():
    for axis in axes():
        table = SampleTable()
        first, blocks = add_taps(table, axis), cut_planes(axis, 2)
        tables = table.tables()
        for tap in range(axis.taps):
            assert samples_of(tables, first + tap) == [wanted(axis, o, tap) for o in range(axis.outputs)]
        outputs = np.concatenate([block["start"] + block["step"] * np.arange(block["length"]) for block in blocks])
        assert sorted(outputs) == list(range(axis.outputs))
        # Tap j of an output lies on the sample of tap j + phase_step of the output before it in its block.
        assert axis.stride * axis.spacing == axis.dilation * axis.phase_step
        assert math.gcd(axis.spacing, axis.phase_step) == 1
