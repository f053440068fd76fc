"""The entry point that Numba calls when a process compiles its first function: `numba_extensions` in pyproject.toml.

A module of its own, since every process that uses Numba imports it: `fastconv` is imported only by those that use it.
"""

import sys

# Whether Numba has called, and `fastconv` has not been imported yet.
waits_for_fastconv = False


def init() -> None:
    """Make Numba know fastconv's functions, now or when `fastconv` is imported."""
    global waits_for_fastconv
    waits_for_fastconv = True
    if "fastconv" in sys.modules:
        from fastconv import njit

        njit.register()
