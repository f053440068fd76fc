"""The engine of weight gradients of small depthwise kernels, channels first: runs `depthwise_gradient`."""

from __future__ import annotations

import numpy as np

from fastconv._engines.layers import layer_input
from fastconv._engines.layers.weight_gradient import GradientProblem
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import UnitEngine, compiled_loop, unit_routine
from fastconv._microkernels.layers import depthwise_gradient, layer_tile
from fastconv._runtime.borrowed_arrays import non_owning_view, pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._simd.target import processor

# Vectors of a row, at least: narrower rows are faster with lanes that are channels. So are kernels that need more than
# one tile.
_LEAST_VECTORS = 3
# Packed input rows of a block, in bytes.
_BLOCK_BYTES = 24_000
_LEAST_CHANNELS = 8  # a unit is some of them
_UNITS = 8
# Products of a unit, and of a channel, at most: Python handles Ctrl-C between units.
_MOST_PRODUCTS = 100_000_000


def supports(problem: GradientProblem, gradient: np.ndarray) -> bool:
    """Whether the engine can compute a gradient, and is faster: kernels whose sums fit into registers, wide rows."""
    layer = problem.layer
    channels, (rows, taps) = layer.x_shape[1], layer.kernel
    compute = layer_input.COMPUTE[layer.sums]
    holds_samples = stored(problem.gradient_dtype, compute) == compute and problem.gradient_dtype.isnative
    return (
        channels == layer.groups == layer.outputs >= _LEAST_CHANNELS
        and layer.stride in ((1, 1), (2, 2))
        and layer.dilation == (1, 1)
        and rows * taps + -(-rows // layer.stride[0]) + 2 <= processor().registers
        and layer.out_size[1] >= _LEAST_VECTORS * processor().lanes(compute.bitwidth)
        and layer.products <= _MOST_PRODUCTS * channels
        and holds_samples
        and gradient.strides[3] == gradient.itemsize
        and gradient.flags.aligned
        and not any(stride % gradient.itemsize for stride in gradient.strides)
    )


@kept
def engine_of(problem: GradientProblem) -> DepthwiseGradientEngine:
    """Return the cached engine of a problem, or make it."""
    return DepthwiseGradientEngine(problem)


class DepthwiseGradientEngine(UnitEngine):
    """Weight gradients of one `GradientProblem` that `supports` accepts."""

    def __init__(self, problem: GradientProblem):
        layer = problem.layer
        compute = layer_input.COMPUTE[layer.sums]
        lanes, size = processor().lanes(compute.bitwidth), layer.sums.itemsize
        (kernel_rows, taps), (out_rows, out_columns) = layer.kernel, layer.out_size
        # The job has the addresses of these tables.
        fields, tables = layer_input.fields(layer, compute)
        tile = depthwise_gradient.make(kernel_rows, taps, layer.stride[0])
        units = min(layer.groups, max(_UNITS, layer.products // _MOST_PRODUCTS))
        rows = min(
            out_rows,
            layer_tile.PRODUCTS // -(-out_columns // lanes),
            (_BLOCK_BYTES // (layer.needed[1] * size) - kernel_rows) // layer.stride[0] + 1,
        )
        row_blocks = -(-out_rows // max(1, rows))
        rows = -(-out_rows // row_blocks)
        # The last vectors of a row are read beyond it.
        packed = ((rows - 1) * layer.stride[0] + kernel_rows) * layer.needed[1] + 3 * lanes + taps
        sums_at = -(-packed * size // 64) * 64
        own = {
            **fields,
            **layer_input.padding(layer._replace(has_lines=True), compute),
            "compute_unit": unit_routine(depthwise_gradient.gradient_unit),
            "tile": compiled_routine(tile, depthwise_gradient.signature(compute)),
            "finish": compiled_routine(depthwise_gradient.add_lanes, depthwise_gradient.finish_signature(compute)),
            "units": units,
            "number": layer.x_shape[0],
            "out_height": out_rows,
            "out_width": out_columns,
            "block_rows": rows,
            "row_blocks": -(-out_rows // rows),
            "sums_at": sums_at,
            "sums": kernel_rows * taps * lanes,
        }
        job = depthwise_gradient.DEPTHWISE_GRADIENT_JOB.filled(own)
        scratch_bytes = sums_at + kernel_rows * taps * lanes * size
        # Its units take long for their products.
        self._set_job(job, compiled_loop(), tables, units, 4 * layer.products, scratch_bytes)

    def __call__(self, x: np.ndarray, gradient: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, contiguous, of the shape of the weights."""
        _pins = pinned(x, gradient, out)
        arrays = non_owning_view(x), non_owning_view(gradient), non_owning_view(out), non_owning_view(out)
        self._compute(arrays, (x, gradient), self._threads(workers))
