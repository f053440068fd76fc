"""Coordinates of a result: those of the samples that its kernels lie around, continued where a regular one ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from fastconv._model.geometry import reach
from fastconv._planning.sweeps import Sweep

# Largest deviation of a regular coordinate from equal steps, in steps.
_IRREGULAR = 1e-4


def positions(sweep: Sweep, mode: str) -> np.ndarray:
    """The index of the sample that each result along an axis belongs to; in mode 'same', that of the same number."""
    first = 0 if mode == "same" else sweep.start - (reach(sweep.taps, sweep.dilation) - 1) // 2
    return first + sweep.simplified().stride * np.arange(sweep.outputs)


def of_result(x: xr.DataArray | xr.Dataset, places: dict[Any, np.ndarray]) -> dict[Any, Any]:
    """The coordinates of a result whose indices along some dimensions are those of samples, or beyond them.

    Beyond them only the coordinate of a dimension itself is known, if it has equal steps.
    """
    inside = {dim: place for dim, place in places.items() if place[0] >= 0 and place[-1] < x.sizes[dim]}
    beyond = [dim for dim in places if dim not in inside]
    kept = x.coords.to_dataset().drop_dims(beyond, errors="ignore").isel(inside, missing_dims="ignore")
    found: dict[Any, Any] = dict(kept.coords)
    for dim in beyond:
        if dim in x.coords and dim in x.indexes:
            values = _continued(x.coords[dim].variable, places[dim])
            if values is not None:
                found[dim] = (dim, values, x.coords[dim].attrs)
    return found


def _continued(variable: xr.Variable, place: np.ndarray) -> np.ndarray | None:
    """Values of a regular coordinate at indices that may lie beyond it; None if it is not regular or its type ends."""
    values = variable.values
    if values.dtype.kind not in "iufmM" or len(values) < 2:
        return None
    if values.dtype.kind != "f":
        return _continued_exactly(values, place)
    steps = np.diff(values)
    step = (values[-1] - values[0]) / (len(values) - 1)
    with np.errstate(invalid="ignore"):
        if not (step != 0 and (np.abs(steps - step) <= _IRREGULAR * abs(step)).all()):
            return None
    found = values[0] + step * place
    known = (place >= 0) & (place < len(values))
    found[known] = values[place[known]]
    return found.astype(values.dtype)


def _continued_exactly(values: np.ndarray, place: np.ndarray) -> np.ndarray | None:
    """The same for integers, dates and durations, by integers that do not wrap."""
    counts = values if values.dtype.kind in "iu" else values.view(np.int64)
    first, step = int(counts[0]), int(counts[1]) - int(counts[0])
    ends = [first + step * int(index) for index in (0, len(counts) - 1, place[0], place[-1])]
    limits = np.iinfo(counts.dtype)
    lowest = limits.min + (values.dtype.kind in "mM")  # which is NaT there
    if min(ends) < lowest or max(ends) > limits.max:
        return None
    wrapped = counts.astype(np.uint64)  # modulo 2**64, which is exact between two ends that fit
    if (np.diff(wrapped) != np.uint64(step % 2**64)).any():
        return None
    found = np.uint64(first % 2**64) + np.uint64(step % 2**64) * place.astype(np.uint64)
    return found.astype(counts.dtype).view(values.dtype)
