"""Packing of weights: any strides, types and sizes, in blocks, without a read outside."""

import itertools

import numpy as np
import pytest

from fastconv._engines.layers import weight_packing
from fastconv._simd.target import processor
from tests import guarded_arrays

LANES = max(1, processor().lanes(32))


@pytest.fixture(params=["NumPy", "compiled"], autouse=True)
def packer(request, monkeypatch):
    """Both ways to pack, whatever the size."""
    for bound in ("MOST_BY_NUMPY", "MOST_KEPT_BY_NUMPY"):
        monkeypatch.setattr(weight_packing, bound, 1 << 30 if request.param == "NumPy" else 0)


def expected(weights, sums, groups, block, padded):
    """Blocks of outputs of each group, in the order (row, column, channel, output), by NumPy."""
    outputs = len(weights) // groups
    pieces = []
    for group in range(groups):
        for first in range(0, padded, block):
            size = min(block, padded - first)
            piece = np.zeros((*weights.shape[2:], weights.shape[1], size), sums)
            chosen = weights[group * outputs + first : group * outputs + min(first + size, outputs)]
            piece[..., : len(chosen)] = chosen.transpose(2, 3, 1, 0)
            pieces.append(piece.ravel())
    return np.concatenate(pieces)


def views(weights):
    """The same shape with other strides: as they are, flipped, swapped, with gaps, and from Fortran order."""
    yield weights
    yield weights[:, :, ::-1, ::-1]
    yield weights.swapaxes(0, 1)[:, :, ::-1, ::-1]
    yield weights[:, :, :, ::-1]
    yield weights[::2, ::2]
    yield weights[::-1]
    yield np.asfortranarray(weights)
    yield weights.swapaxes(0, 1)


@pytest.mark.parametrize("sums", ["f4", "f8", "i4", "i8"])
def test_strides_and_sizes(sums):
    rng = np.random.default_rng(0)
    sizes = (1, 3, LANES, LANES + 1, 2 * LANES + 5)
    for outputs, channels, kernel in itertools.product(sizes, sizes, ((1, 1), (3, 3), (2, 5), (1, 9), (7, 1))):
        whole = rng.integers(-100, 100, (outputs, channels, *kernel)).astype(sums)
        for weights in views(whole):
            count = len(weights)
            for block, padded in (
                (count, count),
                (LANES, -(-count // LANES) * LANES),
                (5, -(-count // 5) * 5),
                (LANES, count),
            ):
                packed = weight_packing.pack(weights, None, np.dtype(sums), 1, block, padded)
                np.testing.assert_array_equal(packed.weights, expected(weights, sums, 1, block, padded))


def test_groups_bias_and_types():
    rng = np.random.default_rng(1)
    for dtype, sums in (("f4", "f4"), (">f4", "f4"), ("u1", "i4"), ("f4", "f8"), ("u8", "u8")):
        weights = rng.integers(0, 100, (12, 4, 3, 3)).astype(dtype)
        bias = np.arange(12).astype(sums)
        packed = weight_packing.pack(weights, bias, np.dtype(sums), 3, 3, 6)
        np.testing.assert_array_equal(packed.weights, expected(weights, sums, 3, 3, 6))
        np.testing.assert_array_equal(packed.bias, np.pad(bias.reshape(3, 4), ((0, 0), (0, 2))))


@pytest.mark.skipif(not guarded_arrays.available, reason="no mprotect here")
@pytest.mark.parametrize("upper", [True, False])
def test_nothing_outside_is_read(upper):
    rng = np.random.default_rng(2)
    region = guarded_arrays.Region(1 << 20)
    for outputs, channels, kernel in itertools.product((3, LANES, 2 * LANES), (1, LANES + 1), ((1, 1), (3, 3), (5, 5))):
        given, _ = region.filled(rng.normal(size=(outputs, channels, *kernel)).astype("f4"), upper=upper)
        for weights in views(given):
            packed = weight_packing.pack(weights, None, np.dtype("f4"), 1, len(weights), len(weights))
            np.testing.assert_array_equal(packed.weights, expected(weights, "f4", 1, len(weights), len(weights)))
