"""The engine of weight gradients of small kernels with channels first, depthwise or of few outputs."""

from __future__ import annotations

import numpy as np

from fastconv._engines.layers import channelwise_engine, layer_input
from fastconv._engines.layers.weight_gradient import GradientProblem
from fastconv._engines.layout import stored
from fastconv._engines.routine_addresses import compiled_routine
from fastconv._engines.unit_engine import UnitEngine, compiled_loop, unit_routine
from fastconv._microkernels.layers import layer_tile, planewise_gradient
from fastconv._model.layer_problem import LayerProblem
from fastconv._runtime.borrowed_arrays import for_threads, pinned
from fastconv._runtime.bounded_cache import kept
from fastconv._simd.target import processor

# Vectors of a row of a depthwise layer, at least: narrower rows are faster with lanes that are channels. So are kernels
# that need more than one tile.
_LEAST_VECTORS = 3
# Packed input rows of a block, in bytes.
_BLOCK_BYTES = 24_000
_LEAST_CHANNELS = 8  # a unit is some of them
# Time of a product in planes, as a multiple of that in full tiles of channels.
_RELATIVE_COST = 1.4
_UNITS = 8
# Products of a unit, and of a pair of channels, at most: Python handles Ctrl-C between units.
_MOST_PRODUCTS = 100_000_000


def supports(problem: GradientProblem, gradient: np.ndarray) -> bool:
    """Whether the engine can compute a gradient, and is faster: kernels whose sums fit into registers, wide rows."""
    layer = problem.layer
    (rows, taps), compute = layer.kernel, layer_input.COMPUTE[layer.sums]
    holds_samples = stored(problem.gradient_dtype, compute) == compute and problem.gradient_dtype.isnative
    return (
        layer.stride in ((1, 1), (2, 2))
        and layer.dilation == (1, 1)
        and rows * taps + -(-rows // layer.stride[0]) + 2 <= processor().registers
        and _is_faster(layer, processor().lanes(compute.bitwidth))
        and layer.products <= _MOST_PRODUCTS * _pairs(layer)
        and holds_samples
        and gradient.strides[3] == gradient.itemsize
        and gradient.flags.aligned
        and not any(stride % gradient.itemsize for stride in gradient.strides)
    )


def _is_faster(layer: LayerProblem, lanes: int) -> bool:
    """Whether lanes that are columns do less for nothing than those that are output channels."""
    columns, outputs = layer.out_size[1], layer.outputs // layer.groups
    if layer.x_shape[1] == layer.groups == layer.outputs:
        return layer.groups >= _LEAST_CHANNELS and columns >= _LEAST_VECTORS * lanes
    if channelwise_engine.supports(layer):
        return False
    empty, empty_there = (-(-count // lanes) * lanes / count for count in (columns, outputs))
    return columns >= lanes and _RELATIVE_COST * empty <= empty_there


def _pairs(layer: LayerProblem) -> int:
    """Pairs of an input channel and an output of its group."""
    return layer.x_shape[1] * layer.outputs // layer.groups


@kept
def engine_of(problem: GradientProblem) -> PlanewiseGradientEngine:
    """Return the cached engine of a problem, or make it."""
    return PlanewiseGradientEngine(problem)


class PlanewiseGradientEngine(UnitEngine):
    """Weight gradients of one `GradientProblem` that `supports` accepts."""

    def __init__(self, problem: GradientProblem):
        layer = problem.layer
        compute = layer_input.COMPUTE[layer.sums]
        lanes, size = processor().lanes(compute.bitwidth), layer.sums.itemsize
        (kernel_rows, taps), (out_rows, out_columns) = layer.kernel, layer.out_size
        # The job has the addresses of these tables.
        fields, tables = layer_input.fields(layer, compute)
        tile = planewise_gradient.make(kernel_rows, taps, layer.stride[0])
        channels, outputs = layer.x_shape[1], layer.outputs // layer.groups
        wanted = max(_UNITS, layer.products // _MOST_PRODUCTS)
        channel_parts = min(channels, wanted)
        parts = min(outputs, -(-wanted // channel_parts))
        units = channel_parts * parts
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
            "compute_unit": unit_routine(planewise_gradient.gradient_unit),
            "tile": compiled_routine(tile, planewise_gradient.signature(compute)),
            "finish": compiled_routine(planewise_gradient.add_lanes, planewise_gradient.finish_signature(compute)),
            "units": units,
            "number": layer.x_shape[0],
            "out_height": out_rows,
            "out_width": out_columns,
            "block_rows": rows,
            "row_blocks": -(-out_rows // rows),
            "sums_at": sums_at,
            "sums": kernel_rows * taps * lanes,
            "outputs": outputs,
            "parts": parts,
        }
        job = planewise_gradient.PLANEWISE_GRADIENT_JOB.filled(own)
        scratch_bytes = sums_at + -(-outputs // parts) * kernel_rows * taps * lanes * size
        # Its units take long for their products.
        self._set_job(job, compiled_loop(), tables, units, 4 * layer.products, scratch_bytes)

    def __call__(self, x: np.ndarray, gradient: np.ndarray, out: np.ndarray, workers: int | None) -> None:
        """Fill `out`, contiguous, of the shape of the weights."""
        _pins = pinned(x, gradient, out)
        threads = self._threads(workers)
        self._compute(for_threads(threads, x, gradient, out, out), (x, gradient), threads)
