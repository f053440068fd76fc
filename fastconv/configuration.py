"""The configuration of this installation: versions, processor, threads, and the cache of compiled kernels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastconv._model.arguments import as_choice
from fastconv._planning import engine_loader
from fastconv._runtime import cpu_limits
from fastconv._runtime.cache_folder import counts, store
from fastconv._version import VERSION

_PACKAGES = ("numpy", "numba", "llvmlite", "pillow")
_LANES = ("float32", "float64", "int16", "int32")


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, dict[str, object]] | None:
    """Print versions, processor, threads, and the folder of compiled kernels and its state, for bug reports.

    Parameters
    ----------
    mode : {'stdout', 'dicts'}
        Print the configuration, or return it, as in `numpy.show_config`.

    Returns
    -------
    dict of dict, or None
        The sections and their entries for ``mode='dicts'``, otherwise None.

    Raises
    ------
    ValueError, TypeError
        For any other mode.

    See Also
    --------
    warmup : Compile ahead of time.
    clear_caches : Free the memory that is kept between calls.

    Notes
    -----
    Imports Numba, to query the target processor.

    Examples
    --------
    >>> import fastconv
    >>> sorted(fastconv.show_config("dicts"))
    ['cache', 'processor', 'threads', 'versions']
    """
    as_choice(mode, "mode", ("stdout", "dicts"))
    sections = {
        "versions": _versions(),
        "processor": _processor(),
        "threads": _threads(),
        "cache": _cache(),
    }
    if mode == "dicts":
        return sections
    for title, entries in sections.items():
        print(f"{title}:")
        for name, value in entries.items():
            print(f"  {name}: {value}")
    return None


def _versions() -> dict[str, object]:
    import importlib.metadata  # slow to import, and used only here
    import platform

    found: dict[str, object] = {"fastconv": VERSION}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown: no metadata"
    found["python"] = f"{platform.python_version()}, {platform.python_implementation()}"
    found["platform"] = platform.platform()
    return found


def _processor() -> dict[str, object]:
    compiled = engine_loader.load().layout.supports(np.dtype(np.float32))
    from fastconv._microkernels.blocks import direct_tile
    from fastconv._simd import target

    processor = target.processor()
    lanes = {name: processor.vector_bytes // np.dtype(name).itemsize for name in _LANES}
    return {
        "name": processor.name,
        "compiled": "yes" if compiled else "no: NUMBA_DISABLE_JIT is set, and NumPy computes tap by tap",
        "registers": f"{processor.registers} of {processor.vector_bytes} bytes",
        "fused multiply-add": "yes" if processor.fma else "no",
        "lanes": ", ".join(f"{count} {name}" for name, count in lanes.items()),
        "tile": f"{direct_tile.ROWS} rows of {direct_tile.VECTORS} registers, or 1 row of {direct_tile.ROW_VECTORS}",
    }


def _threads() -> dict[str, object]:
    try:
        limits = cpu_limits.limits()
    except ValueError as error:
        return {"workers": f"none: {error}"}
    workers = cpu_limits.available_workers()
    decisive = ", ".join(name for name, limit in limits.items() if limit == workers)
    return {"workers": workers, "decided by": decisive, **{name: limit or "none" for name, limit in limits.items()}}


def _cache() -> dict[str, object]:
    from fastconv._simd import disk_cache

    kernels, size = store().content()
    state = store().state
    if store().folder is not None and not disk_cache.has_sources():
        state = "not used: the cache key needs sources or bytecode of the package, and neither can be read"
    return {
        "folder": store().folder or "none",
        "state": state,
        "kernels": f"{kernels}, {size / 1e6:.1f} MB",
        "in this process": f"{counts['compiled']} compiled, {counts['loaded']} loaded",
    }
