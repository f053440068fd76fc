"""What layers are held against: the definition, vectorised over outputs, exact for small whole numbers.

It shares nothing with the engines but `fastconv.reference`, and `test_reference` holds it to that.
"""

import itertools

import numpy as np

from fastconv import reference


def expected(
    x, weights, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero", fill_value=0, activation=None
):
    """Apply a layer to a batch (number, channels, rows, columns) in int64, float64 or complex128."""
    kinds = x.dtype.kind + weights.dtype.kind
    exact = np.complex128 if "c" in kinds else np.float64 if "f" in kinds else np.int64
    x, weights = x.astype(exact), weights.astype(exact)
    number, _, height, width = x.shape
    outputs, channels, *kernel = weights.shape
    steps, apart = reference.both_axes(stride), reference.both_axes(dilation)
    axes = [
        reference.layer_axis(*values)
        for values in zip((height, width), kernel, steps, reference.layer_paddings(padding), apart)
    ]
    out = np.zeros((number, outputs, axes[0][0], axes[1][0]), exact)
    for taps in itertools.product(*map(range, kernel)):
        taken, outside = x, np.zeros((1, 1), bool)
        for axis in (0, 1):
            count, start = axes[axis]
            positions = [start + o * steps[axis] + taps[axis] * apart[axis] for o in range(count)]
            sources = [reference.source_index(place, x.shape[2 + axis], padding_mode) for place in positions]
            taken = taken.take([source or 0 for source in sources], 2 + axis)
            outside = outside | np.array([source is None for source in sources]).reshape((-1, 1) if axis == 0 else -1)
        taken = np.where(outside, np.asarray(fill_value, exact), taken)
        per_group = outputs // groups
        for group in range(groups):
            where = slice(group * per_group, (group + 1) * per_group)
            samples = taken[:, group * channels : (group + 1) * channels]
            products = np.einsum("ncrq,oc->norq", samples, weights[(where, slice(None), *taps)])
            out[:, where] += np.where(outside & (padding_mode == "zero"), 0, products)
    if bias is not None:
        out += np.asarray(bias).astype(exact).reshape(-1, 1, 1)
    return np.maximum(out, 0) if activation == "relu" else out


def whole_numbers(rng, shape, dtype):
    """Small whole numbers of any type, so that every sum of products is exact in every type."""
    dtype = np.dtype(dtype)
    low = 0 if dtype.kind in "ub" else -3
    values = rng.integers(low, 2 if dtype.kind == "b" else 4, shape)
    if dtype.kind == "c":
        values = values + 1j * rng.integers(-3, 4, shape)
    return values.astype(dtype)


def in_layout(batch, layout):
    """A C-contiguous copy of a batch in a layout."""
    return np.ascontiguousarray(np.moveaxis(batch, 1, -1)) if layout == "channels_last" else batch.copy()


def from_layout(batch, layout):
    """A view of a batch with channels first."""
    return np.moveaxis(batch, -1, 1) if layout == "channels_last" else batch
