"""Compute a lazy result part by part, each written before the next ones, with a progress bar."""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS_TO_CONNECT = 10  # to a scheduler


def parts_of(nbytes: int) -> Any:
    """A context in which parts of results have at most so many bytes."""
    import dask

    return dask.config.set({"array.chunk-size": nbytes})


def aligned(result: Any, units: tuple[int, ...]) -> Any:
    """A lazy result in parts of whole units, such as tiles, so that no two parts write to one."""
    sizes = {}
    for axis, unit in enumerate(units):
        chunks = result.chunks[axis]
        if any(size % unit for size in chunks[:-1]):
            sizes[axis] = max(1, max(chunks) // unit) * unit
    return result.rechunk(sizes) if sizes else result


def store(result: Any, out: Any, workers: int, cluster: str | None = None, shows_progress: bool = True) -> None:
    """Compute a dask array, and assign its parts to `out`, in threads or on the workers of a running scheduler."""
    stored = result.store(out, lock=False, compute=False)
    if cluster is not None:
        _compute_on_cluster(stored, cluster)
        return
    from dask.diagnostics import ProgressBar

    bar = ProgressBar(out=sys.stderr) if shows_progress and sys.stderr.isatty() else contextlib.nullcontext()
    # The pool waits, after Ctrl-C too, until no task writes any more.
    with ThreadPoolExecutor(workers) as pool, bar:
        stored.compute(scheduler="threads", pool=pool)


def _compute_on_cluster(stored: Any, address: str) -> None:
    try:
        from distributed import Client, progress
    except ImportError as error:
        raise ValueError(f"argument --cluster: needs 'fastconv[cluster]'; {error}") from None
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"argument --cluster: no scheduler answers at {address!r}; {error}") from None
    with client:
        found = client.compute(stored)
        if sys.stderr.isatty():
            progress(found, notebook=False)
        found.result()
