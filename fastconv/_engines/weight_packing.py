"""Weights and biases of layers in the order in which microkernels read them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv._engines.layer_input import COMPUTE
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._microkernels import weight_packing
from fastconv._runtime.interruptible_numpy import converted
from fastconv._simd import compilation

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
    compute = COMPUTE[sums]
    routine = compiled_routine(weight_packing.pack_block, weight_packing.signature(compute))
    square = np.empty(_SQUARE, sums)
    blocks = groups * -(-padded // block)
    step = max(1, _MOST_ELEMENTS // (block * taps))
    for first in range(0, blocks, step):
        _pack()(weights, packed, square, routine, outputs, block, padded, first, min(first + step, blocks))
    packed_bias = np.zeros((groups, padded), sums)
    if bias is not None:
        packed_bias[:, :outputs] = bias.reshape(groups, outputs)
    return PackedWeights(packed, packed_bias)


_SQUARE = 16 * 16  # elements of a square that is transposed, at most
