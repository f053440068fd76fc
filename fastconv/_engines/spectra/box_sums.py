"""Sums of sizes of samples over boxes: runs `_microkernels.box_sums`, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastconv._engines import scheduler
from fastconv._engines.compiled_routines import compiled_routine, transfer_routine
from fastconv._engines.layout import stored
from fastconv._engines.scratch_memory import lent_scratch
from fastconv._engines.spectra.overlap_save_tiling import COMPUTE
from fastconv._microkernels.spectra import box_sums
from fastconv._runtime.instrumentation import listeners, notify
from fastconv._simd import compilation, complex_vectors

# Bytes of the lines that are summed at a time, nanoseconds for a sum, parts of a pass to share among threads.
_BLOCK, _SUM, _PARTS = 1 << 17, 0.5, 32


class BoxAxis(NamedTuple):
    """Windows along an axis: the sample under the first tap at output 0, which may lie outside, and two numbers."""

    first: int
    taps: int
    outputs: int


def sum_boxes(x: np.ndarray, dtype: np.dtype, axes: Sequence[BoxAxis], workers: int | None) -> np.ndarray:
    """Sums, of a real type, of the sizes of samples over boxes along the last axes of `x`, contiguous and native.

    There is nothing outside. The result may have gaps between its lines.
    """
    compute, rank = COMPUTE[dtype.kind, dtype.itemsize], x.ndim - len(axes)
    shape = [*x.shape[:rank], *(max(extent, axis.outputs) for extent, axis in zip(x.shape[rank:], axes))]
    sums, extents, source = np.empty(shape, dtype), [*x.shape], x
    if listeners:
        notify("boxes", x=x, axes=axes, sums=sums)
    for axis in range(x.ndim - 1, rank - 1, -1):  # all passes but the first one in place
        window = axes[axis - rank]
        is_last = axis == x.ndim - 1
        others = [k for k in range(x.ndim - 1) if k != axis]
        width = 1 if is_last else extents[-1]
        length = window.outputs + window.taps - 1
        slack = 2 * complex_vectors.lanes_of(compute)
        block = min(width, max(slack, _BLOCK // (length * dtype.itemsize) // slack * slack))
        buffer = -(-(length * block + slack) * dtype.itemsize // 64) * 64
        places = [_places(array, extents, others) for array in (source, sums)]
        fields = {
            "copy_in": transfer_routine(stored(source.dtype, compute), compute),
            "copy_out": transfer_routine(compute, compute),
            "sum_windows": compiled_routine(box_sums.sum_windows, box_sums.sum_signature(compute)),
            "item": dtype.itemsize,
            "x_item": source.itemsize,
            "x_step": source.strides[axis],
            "out_step": sums.strides[axis],
            "samples": extents[axis],
            "first": window.first,
            "outputs": window.outputs,
            "taps": window.taps,
            "width": width,
            "block": block,
            "sums_at": buffer,
            "x_places": places[0].ctypes.data,
            "out_places": places[1].ctypes.data,
        }
        _run_pass(box_sums.BOX_PASS.filled(fields), source, sums, places[0].size, length * width, buffer, workers)
        extents[axis], source = window.outputs, sums
    return sums[tuple(slice(0, extent) for extent in extents)]


def _places(array: np.ndarray, extents: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """Offsets in bytes along all of these axes, of an array of which a part is used."""
    found = np.zeros(1, np.intp)
    for axis in axes:
        found = (found[:, np.newaxis] + np.arange(extents[axis]) * array.strides[axis]).ravel()
    return found


def _run_pass(job: np.ndarray, x, sums, places: int, samples: int, buffer: int, workers: int | None) -> None:
    run, addresses = _run(), (x.ctypes.data, sums.ctypes.data)

    def part(first: int, stop: int) -> None:
        with lent_scratch(2 * buffer) as scratch:
            run(job, *addresses, first, stop, scratch.ctypes.data)

    scheduler.run_ranges(part, range(places), places * samples * _SUM, _PARTS, workers)


def compile_all(source: np.dtype, dtype: np.dtype) -> None:
    """Compile all that sums of samples of a type need."""
    compute = COMPUTE[dtype.kind, dtype.itemsize]
    transfer_routine(stored(source, compute), compute)
    transfer_routine(compute, compute)
    compiled_routine(box_sums.sum_windows, box_sums.sum_signature(compute))
    _run()


@compilation.once
def _run():
    return compilation.compile_entry(box_sums.run, box_sums.signature())
