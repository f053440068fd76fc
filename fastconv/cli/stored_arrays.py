"""Convolve an array on disk, a zarr array or a .npy file, to another one, in parts that fit into memory."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv._runtime.cpu_limits import available_workers
from fastconv.cli import result_steps
from fastconv.cli.console import print_stdout
from fastconv.cli.stopwatch import duration

# Bytes of the chunks of the result that tasks compute, of zarr chunks smaller than that.
CHUNK = 1 << 25
# Options that only pictures have, and their defaults.
_OF_PICTURES = {
    "alpha": "auto",
    "linear": False,
    "mask": None,
    "compare": False,
    "page": None,
    "max_pixels": None,
    "recursive": False,
    "format": None,
}


def is_stored(path: str) -> bool:
    """Whether a path names a zarr array or a .npy file."""
    return bool(re.search(r"\.zarr([/\\]|$)|\.npy$", path))


def convert(options: argparse.Namespace, taps: dict[np.dtype, np.ndarray]) -> int:
    """Convolve along two axes, by default the last ones."""
    source, target = _paths(options)
    _check_options(options)
    try:
        import fastconv.dask
        from fastconv.cli import part_by_part
        from fastconv.image import _source
    except ImportError as error:
        raise ValueError(str(error)) from None

    if not all(path.endswith(".npy") for path in (source, target)):
        try:
            import zarr  # noqa: F401
        except ImportError as error:
            raise ValueError(f"zarr arrays need zarr: pip install 'fastconv[dask]'; {error}") from None
    x = _opened(source)
    if x.ndim < 2:
        raise ValueError(f"{source}: must have at least two axes; has shape {tuple(x.shape)}")
    along = 1 if options.axes is not None and len(options.axes) == 1 else None
    kernel = result_steps.kernel_of(taps[_source.sums_type(np.empty((1, 1), x.dtype))], options, along)
    axes = _axes(options.axes, x.ndim)
    steps = result_steps.steps_of(options, kernel.shape, along)
    settings = {name: getattr(options, name) for name in ("boundary", "scale", "offset", "correlate")}
    settings["mode"] = steps.filter_mode
    settings |= {"fill_value": options.fill_value or 0, "nan": "propagate" if options.nodata is None else "ignore"}
    start = time.perf_counter()
    with part_by_part.parts_of(max(CHUNK, 16 * kernel.size * x.dtype.itemsize)):
        result = fastconv.dask.filter(x, kernel, axes=axes, **settings)
        if not steps.are_usual:
            kept = steps.kept(tuple(x.shape[axis] for axis in axes))
            where = dict(zip((axis % x.ndim for axis in axes), kept))
            result = result[tuple(where.get(axis, slice(None)) for axis in range(x.ndim))]
            units = _units(result, target, x)
            result = part_by_part.aligned(result, units)
    with _written(target, options.force) as part:
        out = _made(part, target, result, x)
        part_by_part.store(result, out, options.workers or available_workers(), options.cluster)
    seconds = time.perf_counter() - start
    shape = " x ".join(map(str, result.shape))
    print_stdout(f"{source}: {' x '.join(map(str, x.shape))} {x.dtype}, kernel {' x '.join(map(str, kernel.shape))}")
    print_stdout(f"{target}: {shape} {result.dtype} in {duration(seconds)}, {result.size / seconds / 1e6:.1f} M/s")
    return 0


def _axes(given: tuple[int, ...] | None, ndim: int) -> tuple[int, int]:
    """The two axes of a filter; along the first one a kernel for one axis has one row."""
    if given is None:
        return ndim - 2, ndim - 1
    if len(given) == 2:
        return given[0], given[1]
    axis = given[0]
    return (1 if axis in (0, -ndim) else 0), axis


def _paths(options: argparse.Namespace) -> tuple[str, str]:
    """Check the paths of input and output."""
    if len(options.inputs) != 1:
        raise ValueError("a zarr array or a .npy file is converted alone; got more than one IN")
    source, target = options.inputs[0].rstrip("/\\"), options.output.rstrip("/\\")
    for path in (source, target):
        if not is_stored(path):
            raise ValueError(f"{path}: must be a zarr array or a .npy file, as the other one is")
    ends = [os.path.realpath(path) + os.sep for path in (source, target)]
    if ends[0].startswith(ends[1]) or ends[1].startswith(ends[0]):
        raise ValueError(f"{target}: would overwrite the input {source}")
    return source, target


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that are for pictures."""
    for name, default in _OF_PICTURES.items():
        if getattr(options, name) != default:
            raise ValueError(f"argument --{name.replace('_', '-')}: is for pictures only")
    if options.nodata is not None and options.nodata == options.nodata:
        raise ValueError("argument --nodata: must be nan for a zarr array or a .npy file")
    if options.cluster is not None and options.workers is not None:
        raise ValueError("argument --workers: is not for --cluster, whose workers have threads of their own")


def _opened(path: str) -> Any:
    """Open an array to read from."""
    if path.endswith(".npy"):
        try:
            return np.load(path, mmap_mode="r")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    import zarr

    if not os.path.exists(path):
        raise FileNotFoundError(2, "No such file or directory", path)
    try:
        return zarr.open_array(path, mode="r")
    except Exception as error:  # of many types, that differ between versions
        raise ValueError(f"{path}: is not a zarr array; name one within a group as {path}/0; {error}") from None


@contextlib.contextmanager
def _written(path: str, replaces: bool) -> Iterator[str]:
    """The path of a new file or folder beside `path`, which it becomes at the end of the block if all went well."""
    if os.path.exists(path) and not replaces:
        raise ValueError(f"{path}: exists; --force replaces it")
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{os.getpid()}-{name}")
    try:
        yield part
        _remove(path)
        os.replace(part, path)
    finally:
        _remove(part)


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def _units(result: Any, target: str, x: Any) -> tuple[int, ...]:
    """What must not be written by two tasks: chunks of a zarr array, as `_made` makes them."""
    if target.endswith(".npy"):
        return (1,) * result.ndim
    return x.chunks if hasattr(x, "store") else tuple(sizes[0] for sizes in result.chunks)


def _made(path: str, target: str, result: Any, x: Any) -> Any:
    """Make the array to write to: in zarr of the chunks, the format and the attributes of the input.

    A chunk of the result is whole chunks of it, so that no two tasks write to one.
    """
    shape, dtype = result.shape, result.dtype
    if target.endswith(".npy"):
        from fastconv.dask._sources import MappedFile

        made = np.lib.format.open_memmap(path, "w+", dtype, shape)
        return MappedFile(path, dtype, shape, made.offset, "C")
    import zarr

    options: dict[str, Any] = {"chunks": tuple(sizes[0] for sizes in result.chunks)}
    if hasattr(x, "store"):
        options["chunks"] = x.chunks
        version = getattr(getattr(x, "metadata", None), "zarr_format", None)
        options |= {} if version is None else {"zarr_format": version}
    made = zarr.open_array(path, mode="w", shape=shape, dtype=dtype, **options)
    made.attrs.update(dict(getattr(x, "attrs", {})))
    return made
