"""Weights and biases of layers in the order in which microkernels read them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.layers.layer_input import COMPUTE
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels.layers import weight_packing
from fastconv._runtime.interruptible_numpy import converted
from fastconv._simd import compilation
from fastconv._simd.target import processor

# Weights up to which NumPy packs them as fast as the compiled routine, or nearly, which takes 0.5 s to compile: 15 us
# each for 64 x 64 x 3 x 3, 55 instead of 38 for 128 x 128 x 3 x 3, 1.4 ms instead of 0.7 for 512 x 512 x 3 x 3. Those
# that are kept are packed only once: 14 ms instead of 5 for 1024 x 1024 x 3 x 3.
MOST_BY_NUMPY = 150_000
MOST_KEPT_BY_NUMPY = 10_000_000
# Taps of a kernel that are dealt out in registers, at most: more lines would share a set of the L1 cache. 3x3 takes a
# third of the time of `pack_block`.
_MOST_DEALT = 9
# Elements packed in a call, between which Python handles Ctrl-C.
_MOST_ELEMENTS = 1 << 20


class PackedWeights(NamedTuple):
    """Weights and bias in the order in which a microkernel reads them."""

    weights: np.ndarray
    bias: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.bias.nbytes


class GivenWeights(NamedTuple):
    """The record of weights that the units of a layer pack, which has their address, and a packed bias."""

    record: np.ndarray
    bias: np.ndarray


@compilation.once
def _pack():
    return compilation.compile_entry(weight_packing.pack_blocks, weight_packing.entry_signature())


def unit_routine() -> int:
    """Address of the routine by which a unit packs a block of `given` weights."""
    return compiled_routine(weight_packing.pack_given, weight_packing.given_signature())


def compile_all(sums: np.dtype) -> None:
    """Compile what packs large weights, and those of gradients of 3x3 to the input."""
    _pack()
    unit_routine()
    compiled_routine(weight_packing.make_dealt(9), weight_packing.signature(COMPUTE[sums]))
    compiled_routine(weight_packing.pack_block, weight_packing.signature(COMPUTE[sums]))


def _routine(weights: np.ndarray, outputs: int, block: int) -> int:
    """Address of the routine that packs a block, for blocks of `outputs` output channels of a group."""
    signature = weight_packing.signature(COMPUTE[weights.dtype])
    _, _, rows, columns = weights.shape
    taps, item = rows * columns, weights.itemsize
    output_step, _, row_step, column_step = weights.strides
    lanes = max(2, processor().lanes(8 * item))
    steps = [step for step, extent in ((row_step // columns, rows), (column_step, columns)) if extent > 1]
    is_dealt = (
        1 < taps <= _MOST_DEALT
        and taps % 2 == 1
        and output_step == taps * item
        and (steps == [item] * len(steps) or steps == [-item] * len(steps))
        and row_step % columns == 0
        and min(block, (outputs - 1) % block + 1) >= lanes
    )
    return compiled_routine(weight_packing.make_dealt(taps) if is_dealt else weight_packing.pack_block, signature)


def pack(
    weights: np.ndarray,
    bias: np.ndarray | None,
    sums: np.dtype,
    groups: int,
    block: int,
    padded: int,
    is_kept: bool = False,
) -> PackedWeights:
    """Pack weights of shape (outputs, channels of a group, rows, columns), and a bias, in the type of the sums.

    The outputs of a group become `padded` ones, in blocks of `block` and a smaller last one; those behind are zeros.
    The order within a block is (row, column, channel, output).
    """
    if weights.dtype != sums or not weights.flags.aligned:
        weights = converted(weights, sums)
    outputs, taps = len(weights) // groups, math.prod(weights.shape[1:])
    packed = (np.empty if outputs == padded else np.zeros)(groups * padded * taps, sums)
    if weights.size <= (MOST_KEPT_BY_NUMPY if is_kept else MOST_BY_NUMPY):
        _pack_by_numpy(weights, packed.reshape(groups, padded * taps), block)
    else:
        _pack_compiled(weights, packed, groups, block, padded)
    return PackedWeights(packed, _packed_bias(bias, sums, groups, padded))


def _packed_bias(bias: np.ndarray | None, sums: np.dtype, groups: int, padded: int) -> np.ndarray:
    packed = np.zeros((groups, padded), sums)
    if bias is not None:
        packed[:, : len(bias) // groups] = bias.reshape(groups, -1)
    return packed


def given(
    weights: np.ndarray, bias: np.ndarray | None, sums: np.dtype, groups: int, block: int, padded: int
) -> GivenWeights:
    """Weights of the type of the sums, aligned, for units that pack them as `pack` does."""
    outputs = len(weights) // groups
    spans = [max(0, (extent - 1) * step) for extent, step in zip(weights.shape, weights.strides)]
    fields = {
        "pack": _routine(weights, outputs, block),
        "weights": weights.ctypes.data,
        "space": sum(spans) + weights.itemsize,
        **dict(zip(("output_step", "channel_step", "row_step", "column_step"), weights.strides)),
    }
    record = weight_packing.GIVEN_WEIGHTS.filled(fields)
    return GivenWeights(record, _packed_bias(bias, sums, groups, padded))


def _pack_by_numpy(weights: np.ndarray, packed: np.ndarray, block: int) -> None:
    """Fill `packed`, of shape (groups, padded outputs times taps), but for the outputs that are padded."""
    groups, outputs = len(packed), len(weights) // len(packed)
    kernel = weights.shape[2], weights.shape[3], weights.shape[1]
    taps = math.prod(kernel)
    whole = outputs // block * block
    # Views of the order (group, output, row, column, channel).
    given = weights.reshape(groups, outputs, *weights.shape[1:]).transpose(0, 1, 3, 4, 2)
    blocks = packed[:, : whole * taps].reshape(groups, whole // block, *kernel, block)
    blocks[...] = given[:, :whole].reshape(groups, whole // block, block, *kernel).transpose(0, 1, 3, 4, 5, 2)
    if whole < outputs:
        rest = packed[:, whole * taps :].reshape(groups, *kernel, -1)
        rest[..., : outputs - whole] = given[:, whole:].transpose(0, 2, 3, 4, 1)


def _pack_compiled(weights: np.ndarray, packed: np.ndarray, groups: int, block: int, padded: int) -> None:
    """The same by the compiled routine; `packed` is one line."""
    routine = _routine(weights, len(weights) // groups, block)
    square = np.empty(SQUARE, packed.dtype)
    blocks = groups * -(-padded // block)
    step = max(1, _MOST_ELEMENTS * blocks // packed.size)
    for first in range(0, blocks, step):
        last = min(first + step, blocks)
        _pack()(weights, packed, square, routine, len(weights) // groups, block, padded, first, last)


SQUARE = 16 * 16  # elements of a square that is transposed, at most
