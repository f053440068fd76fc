"""Convolutional layers by NumPy, one tap at a time: for types without a compiled engine, and without a compiler.

Operands are copied to C order, since `numpy.einsum` adds in an order that depends on strides.
"""

from __future__ import annotations

import itertools

import numpy as np

from fastconv._engines.numpy_engine import boundary_indices
from fastconv._model.geometry import FILL, ZERO
from fastconv._model.layer_problem import LayerProblem


def run(problem: LayerProblem, x: np.ndarray, weights: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> None:
    """Fill `out`; arrays are of the order (number, channels, rows, columns)."""
    starts = problem.starts
    if problem.boundary != ZERO:
        for axis in (2, 3):
            x = _extended(x, problem, axis)
        starts = (0, 0)
    outputs = problem.outputs // problem.groups
    channels = problem.x_shape[1] // problem.groups
    out[...] = 0 if bias is None else bias.reshape(-1, 1, 1)
    with np.errstate(all="ignore"):
        for number, group in itertools.product(range(problem.x_shape[0]), range(problem.groups)):
            image = x[number, group * channels : (group + 1) * channels]
            target = slice(group * outputs, (group + 1) * outputs)
            for taps in itertools.product(*map(range, problem.kernel)):
                (to_rows, rows), (to_columns, columns) = _places(problem, starts, taps, image, out)
                samples = image[:, rows, columns].astype(problem.sums, order="C")
                weight = weights[target, :, taps[0], taps[1]].astype(problem.sums, order="C")
                out[number, target, to_rows, to_columns] += np.einsum("crs,oc->ors", samples, weight)
        if problem.rectify:
            out[out < 0] = 0


def weight_gradient(problem: LayerProblem, x: np.ndarray, gradient: np.ndarray, out: np.ndarray) -> None:
    """Fill `out`, of the shape of the weights, with the gradient of a layer to them."""
    starts = problem.starts
    if problem.boundary != ZERO:
        for axis in (2, 3):
            x = _extended(x, problem, axis)
        starts = (0, 0)
    outputs, channels = problem.outputs // problem.groups, problem.x_shape[1] // problem.groups
    out[...] = 0
    with np.errstate(all="ignore"):
        for number, group in itertools.product(range(problem.x_shape[0]), range(problem.groups)):
            image = x[number, group * channels : (group + 1) * channels]
            target = slice(group * outputs, (group + 1) * outputs)
            for i, j in itertools.product(*map(range, problem.kernel)):
                (to_rows, rows), (to_columns, columns) = _places(problem, starts, (i, j), image, gradient)
                samples = image[:, rows, columns].astype(problem.sums, order="C")
                slopes = gradient[number, target, to_rows, to_columns].astype(problem.sums, order="C")
                out[target, :, i, j] += np.einsum("crs,ors->oc", samples, slopes)


def _places(problem: LayerProblem, starts, taps, image: np.ndarray, out: np.ndarray):
    """Along both axes, the outputs that a tap meets samples for, and those samples."""
    return (
        _inside(
            starts[axis] + taps[axis] * problem.dilation[axis],
            problem.stride[axis],
            image.shape[1 + axis],
            out.shape[2 + axis],
        )
        for axis in (0, 1)
    )


def _inside(shift: int, stride: int, samples: int, outputs: int) -> tuple[slice, slice]:
    """Outputs whose samples at ``output * stride + shift`` exist, and those samples."""
    first = max(0, -(shift // stride))
    stop = max(first, min(outputs, (samples - 1 - shift) // stride + 1))
    begin = first * stride + shift
    return slice(first, stop), slice(begin, begin + (stop - first) * stride, stride)


def _extended(x: np.ndarray, problem: LayerProblem, axis: int) -> np.ndarray:
    """The samples that an axis needs, as the boundary extends it."""
    positions = np.arange(problem.needed[axis - 2]) + problem.starts[axis - 2]
    indices = boundary_indices(positions, x.shape[axis], problem.boundary)
    taken = x.take(indices, axis).astype(problem.sums)
    if problem.boundary == FILL:
        outside = (slice(None),) * axis + (positions != indices,)
        taken[outside] = problem.fill_value
    return taken
