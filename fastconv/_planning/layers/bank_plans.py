"""Banks of kernels over one image: as a layer of one channel, or one kernel after the other, by estimated cost."""

from __future__ import annotations

import numpy as np

from fastconv._model.layer_problem import Geometry, result_type
from fastconv._planning.layers.forward_pass import apply
from fastconv._planning.layers.layer_weights import Weights
from fastconv._planning.plans import Plan
from fastconv._planning.sweeps import as_sweeps

# Nanoseconds of a call of a layer, in the unit of `cost_model`, and the cost of a kernel there relative to the direct
# engine, since kernels share the loads of samples. It was fitted to 50 banks, with AVX2 and AVX-512.
CALL = 150_000.0
RELATIVE = 0.8


def fill(
    plan: Plan,
    x: np.ndarray,
    kernels: np.ndarray,
    out: np.ndarray,
    axes: tuple[int, int],
    mode: str,
    boundary: str,
    flip: bool,
    workers: int | None,
) -> None:
    """Fill `out`, where the axis of kernels is before the first of `axes`; `plan` is that of each kernel."""
    results = np.moveaxis(out, min(axes), 0)
    if not _is_layer(plan, x, kernels, results, axes):
        for kernel, target in zip(kernels, results):
            plan(x, kernel, target, workers)
        return
    batch = [axis for axis in range(x.ndim) if axis not in axes]
    images = x.transpose((*batch, *axes))
    results = results.transpose([1 + axis for axis in batch] + [0, 1 + axes[0], 1 + axes[1]])
    down, across = as_sweeps(images.shape[-2:], kernels.shape[1:], (0, 1), mode, boundary)
    geometry = Geometry(
        starts=(down.first, across.first), boundary=down.boundary, fill_value=plan.fill_value, by_spectra=False
    )
    weights = Weights((kernels[:, ::-1, ::-1] if flip else kernels)[:, np.newaxis])
    if images.ndim == 2:
        images, results = images[np.newaxis], results[np.newaxis]
    for index in np.ndindex(images.shape[:-3]):
        apply(weights, images[index][:, np.newaxis], results[index], geometry, workers)


def _is_layer(plan: Plan, x: np.ndarray, kernels: np.ndarray, results: np.ndarray, axes: tuple[int, int]) -> bool:
    """Whether a layer can compute a bank, and is estimated to be the faster way; `results` begin with the kernels."""
    # A complex layer is made of real ones, which takes as long as each kernel by itself.
    if plan.dtype.kind not in "fiu" or plan.dtype != result_type(x.dtype, kernels.dtype):
        return False
    costs, item = plan.costs, results.itemsize
    if not costs or item not in (results.strides[0], results.strides[1 + axes[1]]):  # or it would be copied
        return False
    number = len(kernels)
    by_layer = CALL + RELATIVE * number * costs["direct"]
    if number * min(cost for method, cost in costs.items() if method != "separable") <= by_layer:
        return False
    return number * min(costs.values()) > by_layer or sum(map(plan.cost, kernels)) > by_layer
