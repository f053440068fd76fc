"""Problems of any axes, and their results by the definition in `fastconv._model.problem`."""

import numpy as np

from fastconv import reference
from fastconv._model.geometry import BOUNDARIES, FILL, ZERO, span
from fastconv._model.problem import Problem
from tests import oracle


def problem_of(
    x, kernel, mode="same", axes=None, boundary=ZERO, stride=1, dilation=1, fill_value=0, flip=True, kernels=()
):
    """Return the problem of two arrays; options that are not tuples are those of every axis."""
    axes = tuple(range(x.ndim)) if axes is None else axes
    strides, dilations, boundaries = (
        option if isinstance(option, tuple) else (option,) * len(axes) for option in (stride, dilation, boundary)
    )
    taps, out_shape, starts = kernel.shape[len(kernels) :], [*x.shape], []
    for axis, count, step, apart in zip(axes, taps, strides, dilations):
        outputs = span(mode, x.shape[axis], (count - 1) * apart + 1)
        out_shape[axis] = -(-outputs.length // step)
        starts.append(outputs.start)
    dtype = np.result_type(x.dtype, kernel.dtype).newbyteorder("=")
    return Problem(
        x.dtype, kernel.dtype, dtype, dtype, x.shape, taps, tuple(out_shape), axes, tuple(starts), flip, boundaries,
        fill_value, mode != "valid", strides=strides, dilations=dilations, kernels=kernels,
    )  # fmt: skip


def result_of(problem, x, kernel):
    """Sum the products of a problem one tap at a time, in a wide type; round the sums once."""
    wide = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64, "c": np.complex128}[problem.dtype.kind]
    x, kernel = x.astype(wide), kernel.astype(wide)
    others = [axis for axis in range(x.ndim) if axis not in problem.axes]
    total = np.zeros(problem.out_shape, wide)
    with np.errstate(all="ignore"):
        for tap in np.ndindex(problem.kernel_shape):
            samples, missing, outside = x, np.zeros((1,) * x.ndim, bool), np.zeros((1,) * x.ndim, bool)
            for k, axis in enumerate(problem.axes):
                place = tap[k] if problem.flip else problem.kernel_shape[k] - 1 - tap[k]
                first, boundary = problem.starts[k] - problem.dilations[k] * place, problem.boundaries[k]
                positions = (first + problem.strides[k] * o for o in range(problem.out_shape[axis]))
                sources = [reference.source_index(p, x.shape[axis], BOUNDARIES[boundary]) for p in positions]
                samples = samples.take([source or 0 for source in sources], axis)
                beyond = np.array([source is None for source in sources]).reshape(
                    [-1 if other == axis else 1 for other in range(x.ndim)]
                )
                missing = missing | (beyond if boundary == ZERO else False)
                outside = outside | (beyond if boundary == FILL else False)
            weights = kernel[(..., *tap)]
            if problem.kernels:
                weights = weights.reshape([problem.out_shape[a] if a in others else 1 for a in range(x.ndim)])
            product = weights * np.where(outside, np.asarray(problem.fill_value).astype(wide), samples)
            total += np.where(missing, np.zeros((), wide), product)
    return oracle.rounded(total, problem.dtype)
