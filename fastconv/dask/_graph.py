"""The graph of a lazy convolution: one task for each chunk of the result, and those that cut out its samples."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from fastconv.dask._layout import Row, batch_rows, convolved_rows, whole_row
from fastconv.dask._parts import Work
from fastconv.dask._sources import Chunked, Stored

# Bytes of a kernel that each task has a copy of when it is sent; a larger one is sent to each worker once.
_SENT_ALONG = 1 << 14


def lazy(source: Chunked | Stored, work: Work, options: tuple) -> Any:
    """Return the result as a dask array, and the known shares as another one if there are any.

    Its name depends on the samples and on `options`, which are all that the result depends on beside them.
    """
    rows = _rows(source, work)
    chunks = tuple(tuple(row.outputs for row in each) for each in rows)
    name = f"fastconv-{tokenize(source.token, *options)}"
    graph: dict[Any, Any] = {}
    taps: Any = work.taps
    if getattr(work.taps.kernel, "nbytes", 0) > _SENT_ALONG:
        taps = f"{name}-kernel"
        graph[taps] = work.taps
    tasks = source.tasks(name)
    places: list[list[Any]] = [[source.places(axis, row) for row in each] for axis, each in enumerate(rows)]
    kinds = [_kinds(each, axis in work.own_axes) for axis, each in enumerate(rows)]
    parts: dict[tuple, Any] = {}
    for index in itertools.product(*(range(len(each)) for each in rows)):
        kind = tuple([kinds[axis][i] for axis, i in enumerate(index)])
        part = parts.get(kind)
        if part is None:
            part = parts[kind] = _part(work, rows, index)
        key = (name, *index)
        graph[key] = tasks.task(part, taps, tuple([places[axis][i] for axis, i in enumerate(index)]))
    graph.update(tasks.graph)
    layer = HighLevelGraph.from_collections(name, graph, dependencies=source.arrays)
    if work.shares is None:
        return da.Array(layer, name, chunks, meta=_meta(work.dtype, len(rows), source.masked))
    found = []
    for number, (label, dtype) in enumerate((("values", work.dtype), ("shares", work.shares))):
        own = f"{label}-{name}"
        picked = {
            (own, *index): (operator.getitem, (name, *index), number)
            for index in itertools.product(*(range(len(each)) for each in rows))
        }
        both = HighLevelGraph({**layer.layers, own: picked}, {**layer.dependencies, own: {name}})
        found.append(da.Array(both, own, chunks, meta=_meta(dtype, len(rows), source.masked and not number)))
    return tuple(found)


def _meta(dtype: np.dtype, ndim: int, masked: bool) -> np.ndarray:
    return (np.ma.empty if masked else np.empty)((0,) * ndim, dtype)


def _rows(source: Chunked | Stored, work: Work) -> list[list[Row]]:
    """The chunks of the result along each axis."""
    if work.sweeps is None:
        return [[whole_row(*extents)] for extents in zip(source.shape, work.shape)]
    found = [batch_rows(sizes, extent) for sizes, extent in zip(source.chunks, work.shape)]
    for sweep in work.sweeps:
        found[sweep.axis] = convolved_rows(source.chunks[sweep.axis], sweep, source.cuts(sweep))
    return found


def _kinds(rows: list[Row], are_own: bool) -> list[int]:
    """A number for each row, the same for those that have the same part."""
    numbers: dict[tuple, int] = {}
    found = []
    for place, row in enumerate(rows):
        kind = (row.outputs, row.samples, row.start, place if are_own else None)
        found.append(numbers.setdefault(kind, len(numbers)))
    return found


def _part(work: Work, rows: list[list[Row]], index: tuple[int, ...]) -> Any:
    """The part that computes a chunk."""
    chosen = [each[i] for each, i in zip(rows, index)]
    spans = tuple((chosen[sweep.axis].outputs, chosen[sweep.axis].start or 0) for sweep in work.sweeps or ())
    where = []
    for each, i in zip(rows, index):
        first = sum(row.outputs for row in each[:i])
        where.append(slice(first, first + each[i].outputs))
    return work.part(tuple(row.samples for row in chosen), spans, tuple(where))
