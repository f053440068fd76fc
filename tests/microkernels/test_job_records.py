"""Records: NumPy and compiled code access the same fields."""

import numpy as np
import pytest
from numba import njit, types
from numba.core.errors import TypingError

from fastconv._microkernels.blocks import block_loop
from fastconv._microkernels.job_records import Record, address_of_record, reader
from fastconv._microkernels.spectra import tile_job

INNER = Record("TestInner", {"low": np.intp, "high": np.intp})
OUTER = Record("TestOuter", {"count": np.intp, "flag": np.bool_, "raw": 16, "inner": INNER, "last": np.intp})
outer_at = reader(OUTER)


@njit(types.UniTuple(types.intp, 4)(types.intp, types.intp))
def read(address, index):
    record = outer_at(address, index)
    flag = 1 if record.flag else 0
    return record.count + record.last, flag, record.inner.high, record.raw - address_of_record(record)


@njit(types.void(types.intp, types.intp))
def write(address, index):
    record = outer_at(address, index)
    record.count, record.flag, record.inner.low, record.last = -1, record.count > 2, 5, 1 << 40


def test_fields_are_read_by_name():
    table = np.zeros(3, OUTER.dtype)
    table[1]["count"], table[1]["flag"], table[1]["last"] = 3, True, 1 << 40
    table[1]["inner"]["high"] = -7
    assert read(table.ctypes.data, 1) == (3 + (1 << 40), 1, -7, OUTER.offset("raw"))
    assert read(table.ctypes.data, 2) == (0, 0, 0, OUTER.offset("raw"))


def test_writing_a_field_changes_nothing_else():
    table = np.zeros(3, OUTER.dtype)
    table["raw"], table["count"] = 77, [1, 3, 1]
    write(table.ctypes.data, 1)
    expect = np.zeros(3, OUTER.dtype)
    expect["raw"], expect["count"] = 77, [1, -1, 1]
    expect["flag"][1], expect["last"][1] = True, 1 << 40
    expect["inner"]["low"][1] = 5
    assert table.tobytes() == expect.tobytes()


def test_unknown_fields_do_not_compile():
    with pytest.raises(TypingError, match="Unknown attribute 'nothing'"):

        @njit(types.intp(types.intp))
        def wrong(address):
            return outer_at(address, 0).nothing


@pytest.mark.parametrize("record", [block_loop.BLOCK_JOB, tile_job.TILE_JOB, tile_job.HEAD])
def test_fields_of_jobs_are_aligned(record):
    for name in record.dtype.names:
        field, offset = record.dtype[name], record.offset(name)
        assert field.kind == "b" or offset % np.dtype(np.intp).itemsize == 0
    assert record.dtype.itemsize % np.dtype(np.intp).itemsize == 0
