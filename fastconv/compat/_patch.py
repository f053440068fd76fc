"""Put fastconv's functions in place of other libraries', and back again."""

from __future__ import annotations

import collections
import functools
import importlib
import sys
import threading
from types import ModuleType
from typing import Any, Callable, Literal, NamedTuple, NoReturn, SupportsIndex

from fastconv.compat._unsupported import Unsupported

Library = Literal["numpy", "scipy.signal", "scipy.ndimage", "cv2"]

# Of each library, the module that has its functions here.
LIBRARIES: dict[str, str] = {
    "numpy": "fastconv.compat.numpy",
    "scipy.signal": "fastconv.compat.signal",
    "scipy.ndimage": "fastconv.compat.ndimage",
    "cv2": "fastconv.compat.cv2",
}


class Calls(NamedTuple):
    """How often a function was called: what fastconv computed, and what went to the original."""

    fastconv: int
    original: int


class _Place(NamedTuple):
    """A name in a module that was changed."""

    module: ModuleType
    name: str
    original: Callable[..., Any]
    replacement: Callable[..., Any]


# One patch at a time, so that each finds what the one before left.
_lock = threading.RLock()


class Patch:
    """Functions that stand in place of others, until `undo`; as a context manager, until the end of the block.

    Attributes
    ----------
    replaced : tuple of str
        Every name that was changed: the library's own, and those that other modules had taken with from-imports.
    """

    def __init__(self, libraries: tuple[str, ...]):
        self._places: list[_Place] = []
        self._counts: collections.Counter[tuple[str, bool]] = collections.Counter()
        with _lock:
            pairs = [pair for library in libraries for pair in self._pairs(library)]
            self._replace(pairs)
        self.replaced = tuple(sorted({f"{place.module.__name__}.{place.name}" for place in self._places}))

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("Patch is of this process and cannot be copied or pickled")

    def __repr__(self) -> str:
        state = f"{len(self._places)} names replaced" if self._places else "undone"
        return f"<fastconv.compat.patch: {state}>"

    @property
    def calls(self) -> dict[str, Calls]:
        """How often each function was called through this patch, by its library's name."""
        names = dict.fromkeys(name for name, _ in self._counts)
        return {name: Calls(self._counts[name, True], self._counts[name, False]) for name in names}

    def undo(self) -> None:
        """Put the originals back, wherever a name still has this patch's function; once done, it does nothing."""
        with _lock:
            while self._places:
                place = self._places.pop()
                if getattr(place.module, place.name, None) is place.replacement:
                    setattr(place.module, place.name, place.original)

    def _pairs(self, library: str) -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
        """Originals, and what takes their place."""
        theirs, ours = importlib.import_module(library), importlib.import_module(LIBRARIES[library])
        pairs = []
        for name in ours.__all__:
            function, original = getattr(ours, name), getattr(theirs, name, None)
            if callable(function) and not isinstance(function, type) and callable(original):
                pairs.append((original, self._replacement(f"{library}.{name}", function, original)))
        return pairs

    def _replacement(self, name: str, function: Callable[..., Any], original: Callable[..., Any]):
        counts = self._counts

        @functools.wraps(original)
        def replacement(*args: Any, **options: Any) -> Any:
            if any(_has_functions_of_its_own(argument) for argument in args):
                counts[name, False] += 1
                return original(*args, **options)
            try:
                result = function(*args, **options)
            except Unsupported:
                pass
            except Exception:  # what is wrong with the arguments the original says in its own words
                pass
            else:
                counts[name, True] += 1
                return result
            counts[name, False] += 1
            return original(*args, **options)

        return replacement

    def _replace(self, pairs: list[tuple[Callable[..., Any], Callable[..., Any]]]) -> None:
        replacements = {id(original): (original, replacement) for original, replacement in pairs}
        for module in list(sys.modules.values()):
            if not isinstance(module, ModuleType) or module.__name__.split(".")[0] == "fastconv":
                continue
            for name, value in list(vars(module).items()):
                found = replacements.get(id(value))
                if found is not None and found[0] is value:
                    setattr(module, name, found[1])
                    self._places.append(_Place(module, name, *found))


def _has_functions_of_its_own(argument: Any) -> bool:
    """Whether NumPy would ask the argument's type how to do it (NEP 18): arrays of other libraries do."""
    own = getattr(type(argument), "__array_function__", None)
    return own is not None and own is not _ndarray_function()


@functools.cache
def _ndarray_function() -> Any:
    import numpy as np

    return np.ndarray.__array_function__


def patch(*libraries: Library) -> Patch:
    """Have fastconv compute what a program asks other libraries for.

    The functions of `fastconv.compat` take the place of those of the same name, in the library itself and in every
    module that is loaded and has one of them under some name, as after ``from scipy.signal import convolve``. What is
    imported later gets them too. A call that fastconv does not support, or that is wrong, goes to the original.

    Parameters
    ----------
    *libraries : {'numpy', 'scipy.signal', 'scipy.ndimage', 'cv2'}
        Which; they are imported.

    Returns
    -------
    Patch
        In force already. Leave its ``with`` block, or call `Patch.undo`, to end it.

    Raises
    ------
    ValueError
        For no library, or one that is none of these.
    ImportError
        For a library that is not installed.

    Notes
    -----
    A patch is the whole process's, and not that of a thread: other threads see it at once, and one that is inside of a
    function finishes it as it began. Names are replaced one by one, so a thread may see some of them changed and others
    not yet. What is neither a module's name nor looked up at each call cannot be changed: a function kept in a list, a
    default argument, a method, another compiled module's own reference. Patches that were made one after the other
    should be undone in the opposite order.

    Examples
    --------
    >>> import numpy
    >>> from fastconv.compat import patch
    >>> with patch("numpy") as patched:
    ...     numpy.convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])
    >>> patched.calls
    {'numpy.convolve': Calls(fastconv=1, original=0)}
    """
    if not libraries:
        raise ValueError(f"libraries must be one or more of {', '.join(map(repr, LIBRARIES))}; got none")
    for library in libraries:
        if library not in LIBRARIES:
            raise ValueError(f"libraries must be of {', '.join(map(repr, LIBRARIES))}; got {library!r}")
    return Patch(tuple(dict.fromkeys(libraries)))
