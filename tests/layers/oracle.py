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


def _taps(shape, weights_shape, stride, padding, dilation, padding_mode):
    """For each tap, the sources of all outputs along both axes, and whether they lie outside."""
    steps, apart = reference.both_axes(stride), reference.both_axes(dilation)
    axes = [
        reference.layer_axis(*values)
        for values in zip(shape[2:], weights_shape[2:], steps, reference.layer_paddings(padding), apart)
    ]
    for taps in itertools.product(*map(range, weights_shape[2:])):
        sources = [
            [
                reference.source_index(axes[k][1] + o * steps[k] + taps[k] * apart[k], shape[2 + k], padding_mode)
                for o in range(axes[k][0])
            ]
            for k in (0, 1)
        ]
        rows, columns = (np.array([source or 0 for source in each], int) for each in sources)
        inside = [np.array([source is not None for source in each]) for each in sources]
        yield taps, rows[:, None], columns, inside[0][:, None] & inside[1]


def expected_input_gradient(
    gradient, weights, shape, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero", fill_value=0
):
    """Gradient of a layer to an input of `shape` (number, channels, rows, columns)."""
    kinds = gradient.dtype.kind + weights.dtype.kind
    exact = np.complex128 if "c" in kinds else np.float64 if "f" in kinds else np.int64
    gradient, weights = gradient.astype(exact), weights.astype(exact).conj()
    result = np.zeros(shape, exact)
    outputs, channels = weights.shape[0] // groups, weights.shape[1]
    for taps, rows, columns, inside in _taps(shape, weights.shape, stride, padding, dilation, padding_mode):
        for group in range(groups):
            where = slice(group * outputs, (group + 1) * outputs)
            product = np.einsum("norq,oc->ncrq", gradient[:, where], weights[(where, slice(None), *taps)])
            target = result[:, group * channels : (group + 1) * channels]
            np.add.at(target, (slice(None), slice(None), rows, columns), np.where(inside, product, 0))
    return result


def expected_weight_gradient(
    x, gradient, kernel, stride=1, padding=0, dilation=1, groups=1, padding_mode="zero", fill_value=0
):
    """Gradient of a layer to its weights."""
    kinds = gradient.dtype.kind + x.dtype.kind
    exact = np.complex128 if "c" in kinds else np.float64 if "f" in kinds else np.int64
    x, gradient = x.astype(exact), gradient.astype(exact)
    outputs, channels = gradient.shape[1] // groups, x.shape[1] // groups
    result = np.zeros((gradient.shape[1], channels, *kernel), exact)
    for taps, rows, columns, inside in _taps(x.shape, result.shape, stride, padding, dilation, padding_mode):
        taken = np.where(inside, x[:, :, rows, columns], np.asarray(fill_value, exact)).conj()
        for group in range(groups):
            where = slice(group * outputs, (group + 1) * outputs)
            slopes = gradient[:, where]
            if padding_mode == "zero":
                slopes = np.where(inside, slopes, 0)
            samples = taken[:, group * channels : (group + 1) * channels]
            result[(where, slice(None), *taps)] = np.einsum("ncrq,norq->oc", samples, slopes)
    return result


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
