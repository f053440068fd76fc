"""Pieces of the output and the taps that they are summed from, one by one."""

import numpy as np

from fastconv._microkernels.block_cutting import Axis, Table, cut_columns, cut_rows
from fastconv._model.geometry import REFLECT, ZERO


def test_taps_that_reach_a_sample_are_within_whole_units():
    for samples in (1, 4, 30):
        for taps in (1, 5, 16, 33):
            for unit in (1, 4, 16):
                for first in (-taps + 1, -taps // 2, 0):
                    axis = Axis(samples, samples + taps - 1, taps, first, ZERO, unit)
                    for start in range(0, axis.outputs, 7):
                        stop = min(start + 7, axis.outputs)
                        found, count = axis.reaching(start, stop)
                        reaching = [
                            tap
                            for tap in range(taps)
                            if any(0 <= output + first + tap < samples for output in range(start, stop))
                        ]
                        assert found % unit == 0
                        assert 0 < count <= taps - found
                        assert count % unit == 0 or found + count == taps
                        if reaching:
                            assert found <= reaching[0]
                            assert reaching[-1] < found + count
                            assert reaching[0] - found < unit
                            assert found + count - reaching[-1] <= unit


def test_pieces_of_an_axis_with_nothing_outside_take_few_taps_at_its_ends():
    for cut in (
        lambda table, axis: cut_rows(table, axis, 16, 16 + axis.taps - 1),
        lambda *given: cut_columns(*given, 16, 4),
    ):
        pieces = {}
        for unit in (0, 4):
            table = Table()
            cut(table, Axis(100, 179, 80, -79, ZERO, unit))
            pieces[unit] = table.pieces()
        assert set(pieces[0]["taps"]) == {80}
        assert pieces[4]["taps"].min() <= 16
        assert pieces[4]["taps"].max() == 80
        for piece in pieces[4]:
            assert piece["samples"] == piece["length"] + piece["taps"] - 1
            inside = range(max(0, piece["start"] - 79 + piece["first_tap"]), 100)
            assert piece["source"] in (-1, inside.start)


def test_every_output_is_in_one_piece():
    for boundary, unit in ((ZERO, 0), (ZERO, 8), (REFLECT, 0)):
        axis = Axis(90, 131, 42, -41, boundary, unit)
        table = Table()
        cut_rows(table, axis, 20, 61)
        covered = [np.arange(piece["start"], piece["start"] + piece["length"]) for piece in table.pieces()]
        np.testing.assert_array_equal(np.concatenate(covered), np.arange(131))
