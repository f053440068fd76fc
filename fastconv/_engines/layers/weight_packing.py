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

# Weights up to which NumPy packs them as fast as the compiled routine, or nearly, which takes 0.5 s to compile: 15 us
# each for 64 x 64 x 3 x 3, 55 instead of 38 for 128 x 128 x 3 x 3, 1.4 ms instead of 0.7 for 512 x 512 x 3 x 3.
MOST_BY_NUMPY = 150_000
# Elements packed in a call, between which Python handles Ctrl-C.
_MOST_ELEMENTS = 1 << 23


class PackedWeights(NamedTuple):
    """Weights and bias in the order in which a microkernel reads them."""

    weights: np.ndarray
    bias: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.bias.nbytes


@compilation.once
def _pack():
    return compilation.compile_entry(weight_packing.pack_blocks, weight_packing.entry_signature())


def compile_all(sums: np.dtype) -> None:
    """Compile what packs large weights."""
    _pack()
    _routine(sums)


def _routine(sums: np.dtype) -> int:
    """Address of the routine that packs a block."""
    return compiled_routine(weight_packing.pack_block, weight_packing.signature(COMPUTE[sums]))


def pack(
    weights: np.ndarray, bias: np.ndarray | None, sums: np.dtype, groups: int, block: int, padded: int
) -> PackedWeights:
    """Pack weights of shape (outputs, channels of a group, rows, columns), and a bias, in the type of the sums.

    The outputs of a group become `padded` ones, in blocks of `block` and a smaller last one; those behind are zeros.
    The order within a block is (row, column, channel, output).
    """
    if weights.dtype != sums or not weights.flags.aligned:
        weights = converted(weights, sums)
    outputs, taps = len(weights) // groups, math.prod(weights.shape[1:])
    packed = (np.empty if outputs == padded else np.zeros)(groups * padded * taps, sums)
    if weights.size <= MOST_BY_NUMPY:
        _pack_by_numpy(weights, packed.reshape(groups, padded * taps), block)
    else:
        _pack_compiled(weights, packed, groups, block, padded)
    packed_bias = np.zeros((groups, padded), sums)
    if bias is not None:
        packed_bias[:, :outputs] = bias.reshape(groups, outputs)
    return PackedWeights(packed, packed_bias)


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
    routine = _routine(packed.dtype)
    square = np.empty(_SQUARE, packed.dtype)
    blocks = groups * -(-padded // block)
    step = max(1, _MOST_ELEMENTS * blocks // packed.size)
    for first in range(0, blocks, step):
        last = min(first + step, blocks)
        _pack()(weights, packed, square, routine, len(weights) // groups, block, padded, first, last)


_SQUARE = 16 * 16  # elements of a square that is transposed, at most
