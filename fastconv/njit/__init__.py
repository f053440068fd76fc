"""`convolve1d`, `convolve2d`, `correlate1d` and `correlate2d` in functions compiled by Numba.

Numba finds them by the entry point of the installed package, when it compiles its first function. Only where nothing is
installed, as in programs that find fastconv by a path, in a zip file or frozen, does `register` have to be called.
`docs/numba.md` lists what compiled code can do.
"""

from __future__ import annotations

from fastconv._model.arguments import as_bool
from fastconv._planning.engine_loader import import_numba
from fastconv._runtime.lazy_modules import directory

__all__ = ["register", "replace_numpy"]
__dir__ = directory(__name__)


def register() -> None:
    """Make Numba know fastconv's functions in compiled code; Numba is imported if necessary.

    See Also
    --------
    replace_numpy : Compile NumPy's convolutions to fastconv's as well.

    Examples
    --------
    >>> import numba
    >>> import numpy as np
    >>> import fastconv
    >>> fastconv.njit.register()
    >>> @numba.njit
    ... def smoothed(rows, taps):
    ...     total = np.zeros(rows.shape[1])
    ...     for row in rows:
    ...         total += fastconv.convolve1d(row, taps, "same", boundary="nearest")
    ...     return total
    >>> smoothed(np.arange(8.0).reshape(2, 4), np.array([0.25, 0.5, 0.25]))
    array([4.5, 6. , 8. , 9.5])
    """
    import_numba()
    from fastconv.njit import _overloads  # noqa: F401


def replace_numpy(active: bool = True) -> None:
    """Compile `numpy.convolve` and `numpy.correlate` to fastconv's direct method, in functions compiled from now on.

    Off by default. The results of floats may differ from those of Numba in their last bits. Functions that are compiled
    keep what they have; so do those in Numba's cache on disk.

    Parameters
    ----------
    active : bool
        False for Numba's own implementations.

    Raises
    ------
    TypeError
        If `active` is not a bool.

    See Also
    --------
    register : Make Numba know fastconv's own functions.

    Examples
    --------
    >>> import numba
    >>> import numpy as np
    >>> import fastconv
    >>> fastconv.njit.replace_numpy()
    >>> numba.njit(lambda a, v: np.convolve(a, v, "same"))(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5]))
    array([1. , 2.5, 4. ])
    >>> fastconv.njit.replace_numpy(False)
    """
    active = as_bool(active, "active")
    import_numba()
    from fastconv.njit import _numpy_overloads

    _numpy_overloads.replace(active)
