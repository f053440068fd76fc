"""Where the samples of a lazy convolution come from: the chunks of dask arrays, or a stored array."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import dask
import dask.array as da
import dask.utils
import numpy as np
from dask.base import tokenize

from fastconv._model.arguments import is_masked_array
from fastconv._model.message_formatting import clipped
from fastconv._planning.sweeps import Sweep
from fastconv.dask._layout import Row
from fastconv.dask._parts import Part, Taps


@dataclass(frozen=True, slots=True)
class _Cut:
    """A part of a block. It is copied, since a view would keep the block in memory."""

    where: tuple[slice, ...]

    def __call__(self, block: np.ndarray) -> np.ndarray:
        return block[self.where].copy()


@dataclass(frozen=True, slots=True)
class _Join:
    """Runs a part on blocks that are joined first."""

    part: Part
    counts: tuple[int, ...]  # of blocks along each axis
    masked: bool

    def __call__(self, taps: Taps, *blocks: np.ndarray) -> Any:
        count = math.prod(self.counts)
        x = self._joined(blocks[:count])
        if self.masked and not is_masked_array(x):
            x = np.ma.asarray(x)
        return self.part(taps, x, self._joined(blocks[count:]) if len(blocks) > count else None)

    def _joined(self, blocks: tuple[np.ndarray, ...]) -> np.ndarray:
        if len(blocks) == 1:
            return blocks[0]
        flat = np.empty(len(blocks), object)
        flat[:] = blocks
        grid = flat.reshape(self.counts)
        edges = []
        for axis in range(grid.ndim):
            line = grid[(0,) * axis + (slice(None),) + (0,) * (grid.ndim - axis - 1)]
            edges.append([0, *accumulate(block.shape[axis] for block in line)])
        shape = tuple(edge[-1] for edge in edges)
        empty = np.ma.empty if any(map(is_masked_array, blocks)) else np.empty
        joined = empty(shape, blocks[0].dtype)
        for index in np.ndindex(grid.shape):
            joined[tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, index))] = grid[index]
        return joined


class Chunked:
    """Dask arrays of the same chunks: samples, and perhaps their weights."""

    def __init__(self, x: da.Array, weights: da.Array | None):
        self.arrays = [x] if weights is None else [x, weights]
        self.array, self.shape, self.dtype, self.chunks = x, x.shape, x.dtype, x.chunks
        self.masked = is_masked_array(x._meta)
        self.token = tokenize(*(array.name for array in self.arrays))
        self._edges = [[0, *accumulate(sizes)] for sizes in self.chunks]

    def cuts(self, sweep: Sweep) -> list[int] | None:
        """The edges of the chunks of the result along an axis; None where their samples give them."""
        return None

    def places(self, axis: int, row: Row) -> list[tuple[int, slice | None]]:
        """The chunks along an axis that hold the samples of a row, and where in them; None for all of a chunk."""
        edges, found = self._edges[axis], []
        for low, high in row.ranges:
            chunk = np.searchsorted(edges, low, "right") - 1
            while low < high:
                begin, end = edges[chunk], edges[chunk + 1]
                if low < end:
                    stop = min(high, end)
                    whole = (low, stop) == (begin, end)
                    found.append((int(chunk), None if whole else slice(low - begin, stop - begin)))
                    low = stop
                chunk += 1
        return found

    def tasks(self, name: str) -> _ChunkedTasks:
        return _ChunkedTasks(self, name)


class _ChunkedTasks:
    """The tasks that cut samples out of chunks, each where its chunk is, so that no more than these are sent."""

    def __init__(self, source: Chunked, name: str):
        self._names = [array.name for array in source.arrays]
        self._strips = [f"{name}-samples-{number}" for number in range(len(self._names))]
        self._masked = source.masked
        self._cuts: dict[tuple, tuple[int, _Cut]] = {}
        self._joins: dict[tuple, _Join] = {}
        self.graph: dict = {}

    def task(self, part: Part, taps: Any, places: tuple[list[tuple[int, slice | None]], ...]) -> tuple:
        """The task of one chunk of the result."""
        counts = tuple(map(len, places))
        join = self._joins.get((id(part), counts))
        if join is None:
            join = self._joins[id(part), counts] = _Join(part, counts, self._masked)
        keys = [
            self._key(number, pieces) for number in range(len(self._names)) for pieces in itertools.product(*places)
        ]
        return (join, taps, *keys)

    def _key(self, number: int, pieces: tuple[tuple[int, slice | None], ...]) -> tuple:
        index = tuple([piece[0] for piece in pieces])
        source = (self._names[number], *index)
        cuts = tuple([piece[1] and (piece[1].start, piece[1].stop) for piece in pieces])
        if not any(cuts):
            return source
        found = self._cuts.get(cuts)
        if found is None:
            where = tuple(slice(*cut) if cut else slice(None) for cut in cuts)
            found = self._cuts[cuts] = len(self._cuts), _Cut(where)
        key = (self._strips[number], *index, found[0])
        self.graph[key] = (found[1], source)
        return key


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A memory map that is opened again where it is read, since a pickle would hold its contents."""

    path: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    order: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: Any) -> np.ndarray:
        return self._opened("r")[where]

    def __setitem__(self, where: Any, values: np.ndarray) -> None:
        self._opened("r+")[where] = values

    def _opened(self, mode: Literal["r", "r+"]) -> np.memmap:
        return np.memmap(self.path, self.dtype, mode, self.offset, self.shape, self.order)


@dataclass(frozen=True, slots=True)
class _Read:
    """Runs a part on samples that are read from a stored array, and perhaps on their weights, from another one."""

    part: Part
    array: Any
    weights: Any
    ranges: tuple[tuple[tuple[int, int], ...], ...]

    def __call__(self, taps: Taps) -> Any:
        # Weights of pixels have no channels.
        weights = None if self.weights is None else _read(self.weights, self.ranges[: len(self.weights.shape)])
        return self.part(taps, _read(self.array, self.ranges), weights)


def _read(array: Any, ranges: tuple[tuple[tuple[int, int], ...], ...]) -> np.ndarray:
    """Read and join the parts of a stored array."""
    if all(len(each) == 1 for each in ranges):
        return np.asarray(array[tuple(slice(*each[0]) for each in ranges)])
    joined = np.empty(tuple(sum(high - low for low, high in each) for each in ranges), array.dtype)
    places = [list(zip(each, _offsets(each))) for each in ranges]
    for pieces in itertools.product(*places):
        target = tuple(slice(offset, offset + high - low) for (low, high), offset in pieces)
        joined[target] = array[tuple(slice(low, high) for (low, high), _ in pieces)]
    return joined


def _offsets(ranges: tuple[tuple[int, int], ...]) -> list[int]:
    return [0, *accumulate(high - low for low, high in ranges)][:-1]


class Stored:
    """An array on disk: each task reads what it needs, and none waits for another.

    Chunks of the result are of `sizes`, wherever the samples are stored.
    """

    arrays: list[da.Array]
    masked = False
    graph: dict

    def __init__(self, array: Any, sizes: tuple[int, ...], token: str):
        self.arrays, self.graph, self.token = [], {}, token
        self.shape, self.dtype = tuple(array.shape), array.dtype
        self.chunks = da.core.normalize_chunks(sizes, self.shape)
        self._stored, self._sizes, self._weights = array, sizes, None

    def with_weights(self, weights: Any) -> Stored:
        """The same samples with weights that are stored too."""
        found = Stored(self._stored, self._sizes, tokenize(self.token, _token_of(weights)))
        found._weights = weights
        return found

    @property
    def array(self) -> da.Array:
        """The same as a dask array."""
        return da.from_array(self._stored, self.chunks, name=f"stored-{self.token}")

    def cuts(self, sweep: Sweep) -> list[int] | None:
        """The edges of the chunks of the result along an axis."""
        return [*range(0, sweep.outputs, self._sizes[sweep.axis]), sweep.outputs]

    def places(self, axis: int, row: Row) -> tuple[tuple[int, int], ...]:
        """The ranges of samples of a row."""
        return row.ranges

    def tasks(self, name: str) -> Stored:
        return self

    def task(self, part: Part, taps: Any, places: tuple) -> tuple:
        """The task of one chunk of the result."""
        return (_Read(part, self._stored, self._weights, places), taps)


def is_stored(x: Any) -> bool:
    """Whether tasks can read an object: a zarr array, an array on disk of the same attributes, or a mapped file."""
    if isinstance(x, MappedFile):
        return True
    return all(hasattr(type(x), each) for each in ("chunks", "dtype", "shape", "store", "__getitem__"))


def as_mapped(x: Any) -> Any:
    """A memory map that shows the whole of an array in a file as a `MappedFile`; anything else as it is.

    So are maps of mode 'c', whose changes are not in the file.
    """
    if not isinstance(x, np.memmap):
        return x
    order = "C" if x.flags.c_contiguous else "F" if x.flags.f_contiguous else None
    if order is None or x.filename is None or x.mode == "c" or isinstance(x.base, np.memmap):
        return x
    return MappedFile(str(x.filename), x.dtype, x.shape, x.offset, order)


def _token_of(stored: Any) -> str:
    if isinstance(stored, MappedFile):
        return tokenize(stored)
    return tokenize(str(stored.store), stored.name, stored.shape, stored.dtype)


def as_source(x: Any, name: str) -> Chunked | Stored:
    """Check the array to convolve."""
    if isinstance(x, da.Array):
        if any(math.isnan(size) for sizes in x.chunks for size in sizes):
            raise ValueError(
                f"{name} must have chunks of known sizes, as {name}.compute_chunk_sizes() finds them; got {clipped(x)}"
            )
        meta = x._meta
        if not (type(meta) is np.ndarray or is_masked_array(meta)):
            raise TypeError(f"{name} must have chunks that are NumPy arrays; got {clipped(type(meta))}")
        return Chunked(x, None)
    x = as_mapped(x)
    if isinstance(x, np.memmap):
        return Chunked(da.from_array(x, _sizes(x.shape, (1,) * x.ndim, x.dtype)), None)
    if isinstance(x, MappedFile):
        return Stored(x, _sizes(x.shape, (1,) * x.ndim, x.dtype), _token_of(x))
    if is_stored(x):
        stored = getattr(x, "shards", None) or x.chunks  # shards are written whole
        return Stored(x, _sizes(x.shape, stored, x.dtype), _token_of(x))
    raise TypeError(
        f"{name} must be a dask array, or a zarr array or a memory map to read from; got {clipped(type(x).__name__)}. "
        "dask.array.from_array makes a dask array of others"
    )


def _sizes(shape: tuple[int, ...], stored: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """Sizes of chunks of the result: multiples of the stored ones, of at most the bytes that dask is configured for."""
    most = dask.utils.parse_bytes(dask.config.get("array.chunk-size")) // dtype.itemsize
    sizes = list(stored)
    while True:
        axis = min(range(len(shape)), key=lambda axis: (sizes[axis] >= shape[axis], sizes[axis]), default=0)
        if not shape or sizes[axis] >= shape[axis] or 2 * math.prod(map(min, sizes, shape)) > most:
            return tuple(sizes)
        sizes[axis] *= 2
