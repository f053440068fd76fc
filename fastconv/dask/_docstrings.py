"""Docstrings of lazy functions, made of those of the functions in memory that they stand for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

WORKERS = "workers : int, optional\n    The number of threads of one task, by default 1.\n"


def lazy_docstring(native: Callable, name: str, absent: tuple[str, ...], example: str) -> str | None:
    """Return the docstring of the lazy form of a function with a name, which does not take some of its options."""
    text = inspect.getdoc(native)
    if text is None:  # python -OO
        return None
    section = text.partition("Parameters\n----------\n")[2].partition("\nReturns\n-------\n")[0]
    first, *entries = re.split(r"^(?=\S)", section, flags=re.MULTILINE)[1:]
    kept = [f"{first.partition(' : ')[0]} : dask array, zarr array or memory map\n    As in `{name}`.\n"]
    for entry in entries:
        names, kind = entry.split(" : ", 1)
        names = ", ".join(one for one in names.split(", ") if one not in absent)
        if names:
            kept.append(WORKERS if names == "workers" else f"{names} : {kind}")
    return f"""Return the results of `{name}` as a dask array, whose chunks are computed when they are used.

Parameters
----------
{"".join(kept)}
Returns
-------
dask array
    Of the shape and the dtype of the results of `{name}`; and the known shares, with `return_weight`.

Raises
------
ValueError, TypeError
    As `{name}`, when it is called.

See Also
--------
{name} : The same for arrays in memory.

Examples
--------
{example}
"""
