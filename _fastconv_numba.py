"""The entry point that Numba calls when a process compiles its first function: `numba_extensions` in pyproject.toml.

A module of its own, since every process that uses Numba imports it: `fastconv` is imported only by those that use it.
"""

import sys

# Whether Numba has called `init`.
called_by_numba = False


def init() -> None:
    """Make Numba know fastconv's functions, now or when `fastconv` is imported."""
    global called_by_numba
    called_by_numba = True
    if "fastconv" in sys.modules:
        from fastconv import njit

        njit.register()
