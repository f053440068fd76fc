"""Put fastconv's functions in place of other libraries', and back again.

Functions of NumPy and SciPy stay the same objects: only the code of the Python function that does the work is replaced,
behind NumPy's dispatcher and SciPy's decorators. So whatever has the function as a key still finds it: Numba's
overloads, the tables of libraries of units, SciPy's of array types. The patch holds, and ends, wherever the function is
kept: in from-imports, lists, default arguments, partial objects. Functions in C (OpenCV's) and Python functions with
free variables have no code that could be replaced: their names are, in every module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import sys
import traceback
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any, Callable, Literal, NamedTuple, NoReturn, SupportsIndex

import numpy as np

from fastconv._runtime import fork_safety
from fastconv.compat._unsupported import Unsupported

Library = Literal["numpy", "scipy.signal", "scipy.ndimage", "cv2"]
Function = Callable[..., Any]

# Of each library, the module that has its functions here.
LIBRARIES: dict[str, str] = {
    "numpy": "fastconv.compat.numpy",
    "scipy.signal": "fastconv.compat.signal",
    "scipy.ndimage": "fastconv.compat.ndimage",
    "cv2": "fastconv.compat.cv2",
}
# Held while targets and `_targets` change.
_lock = fork_safety.new_lock(fork_safety.PATCH)


class Calls(NamedTuple):
    """How often a function was called: what fastconv computed, and what went to the original."""

    fastconv: int
    original: int


class _Target:
    """A function of another library, and what the patches in force have a call of it run: the last one's stand-in.

    Attributes
    ----------
    original : callable
        Computes as the library does, whatever stands in.
    now : callable
        What a call runs.
    """

    def __init__(self, original: Function):
        self.original = self.now = original
        self._stand_ins: list[Function] = []

    @property
    def is_patched(self) -> bool:
        return bool(self._stand_ins)

    def add(self, stand_in: Function) -> None:
        self._stand_ins.append(stand_in)
        self.now = stand_in

    def remove(self, stand_in: Function) -> None:
        if stand_in in self._stand_ins:
            self._stand_ins.remove(stand_in)
        self.now = self._stand_ins[-1] if self._stand_ins else self.original


def _call_target(*args: Any, **options: Any) -> Any:
    return _target.now(*args, **options)  # type: ignore[name-defined]  # noqa: F821, each copy has a global of its own


class _InPlace(_Target):
    """A target whose function keeps its identity: only its code is another while it is patched.

    The target is a global of the function's module. It stays there, for threads that are about to run the code.
    """

    _serial = itertools.count()

    def __init__(self, function: FunctionType):
        code = function.__code__
        original = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
        original.__kwdefaults__ = function.__kwdefaults__
        original.__qualname__ = function.__qualname__
        super().__init__(original)
        self._function = function
        self._signature = inspect.signature(function)
        name = f"_fastconv_target_{next(self._serial)}"  # of its own, for code that somebody else keeps a copy of
        function.__globals__[name] = self
        # It keeps its place in the sources, which `inspect.getsource` reads.
        kept = ("co_name", "co_qualname", "co_filename", "co_firstlineno")
        places = {field: getattr(code, field) for field in kept if hasattr(code, field)}
        names = tuple(name if used == "_target" else used for used in _call_target.__code__.co_names)
        self._code: CodeType = _call_target.__code__.replace(co_names=names, **places)

    @property
    def is_known(self) -> bool:
        """Whether the function has its own code or this one, and none that somebody else has put there meanwhile."""
        return self._function.__code__ in (self._code, self.original.__code__)

    def apply(self) -> None:
        function = self._function
        if self.is_patched:
            vars(function).setdefault("__signature__", self._signature)
            function.__code__ = self._code
            return
        if function.__code__ is self._code:
            function.__code__ = self.original.__code__
        if vars(function).get("__signature__") is self._signature:
            del function.__signature__  # type: ignore[attr-defined]


class _ByName(_Target):
    """A target whose names, in all modules, are another function's while it is patched.

    Whoever keeps that function beyond the patch has one that calls the original.
    """

    def __init__(self, original: Function):
        super().__init__(original)

        @functools.wraps(original)
        def replacement(*args: Any, **options: Any) -> Any:
            return self.now(*args, **options)

        self.replacement = replacement


# Every target there has been, by the function that has its code or its names; what replaced names, too.
_targets: dict[Function, _Target] = {}


def _target_of(function: Function) -> _Target:
    """The target for what a library has under a name."""
    plain = _plain(function)
    found = _targets.get(function if plain is None else plain)
    if plain is None:
        if found is None:
            found = _targets[function] = by_name = _ByName(function)
            _targets[by_name.replacement] = by_name
    elif not (isinstance(found, _InPlace) and found.is_known):
        found = _targets[plain] = _InPlace(plain)
    return found


def _plain(function: Function) -> FunctionType | None:
    """The Python function that does the work, under a dispatcher or decorators; None if its code is not replaceable."""
    inner = inspect.unwrap(function)
    return inner if isinstance(inner, FunctionType) and not inner.__code__.co_freevars else None


class _Name(NamedTuple):
    """What names of a function are to stand for."""

    found: Function
    wanted: Function
    is_patched: bool


def _apply(targets: Iterable[_Target]) -> set[str]:
    """Have code and names say which targets are patched; return the names that do now."""
    names: dict[int, _Name] = {}
    for target in targets:
        if isinstance(target, _InPlace):
            target.apply()
        elif isinstance(target, _ByName):
            pair = target.original, target.replacement
            for function in pair:
                names[id(function)] = _Name(function, pair[target.is_patched], target.is_patched)
    patched = set()
    for module in list(sys.modules.values()) if names else []:
        if not isinstance(module, ModuleType) or module.__name__.split(".")[0] == "fastconv":
            continue
        for name, value in list(vars(module).items()):
            entry = names.get(id(value))
            if entry is None or entry.found is not value:
                continue
            if entry.wanted is not value:
                setattr(module, name, entry.wanted)
            if entry.is_patched:
                patched.add(f"{module.__name__}.{name}")
    return patched


class Patch:
    """Functions that stand in place of others, until `undo`; as a context manager, until the end of the block.

    Attributes
    ----------
    replaced : tuple of str
        What was replaced, by its library's name: ``"numpy.convolve"``. Of functions in C, every name in every module.
    """

    def __init__(self, libraries: tuple[str, ...]):
        self._stand_ins: list[tuple[_Target, Function]] = []
        self._counts: dict[str, list[int]] = {}
        self._refused: dict[str, str] = {}
        functions = [found for library in libraries for found in _functions(library)]
        replaced = set()
        with _lock:
            try:
                for name, original, function, errors in functions:
                    target = _target_of(original)
                    stand_in = self._stand_in(name, function, target.original, errors)
                    self._stand_ins.append((target, stand_in))
                    target.add(stand_in)
                    if isinstance(target, _InPlace):
                        replaced.add(name)
                replaced |= _apply(target for target, _ in self._stand_ins)
            except BaseException:
                self.undo()
                raise
        self.replaced = tuple(sorted(replaced))

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("Patch is of this process and cannot be copied or pickled")

    def __repr__(self) -> str:
        state = f"{len(self.replaced)} names replaced" if self._stand_ins else "undone"
        return f"<fastconv.compat.patch: {state}>"

    @property
    def calls(self) -> dict[str, Calls]:
        """How often each function was called through this patch, by its library's name."""
        return {name: Calls(*counts) for name, counts in self._counts.items() if any(counts)}

    @property
    def refused(self) -> dict[str, str]:
        """The last error of fastconv's for each function whose original had a result for the same arguments.

        Some originals take what fastconv's functions are documented to refuse. Anything else is worth a report.
        """
        return dict(self._refused)

    def undo(self) -> None:
        """End the patch, whatever patches were made since; once done, it does nothing.

        Names are put back in all modules, also in those that were imported meanwhile. What somebody else has put in
        place of a function since then stays.
        """
        with _lock:
            for target, stand_in in self._stand_ins:
                target.remove(stand_in)
            _apply(target for target, _ in self._stand_ins)
            self._stand_ins.clear()

    def _stand_in(self, name: str, function: Function, original: Function, errors: tuple[type[Exception], ...]):
        counts = self._counts.setdefault(name, [0, 0])
        refused = self._refused
        # Of NumPy's functions, the dispatcher and `fastconv.compat.numpy` look at the arguments themselves.
        looks = not name.startswith("numpy.")

        def stand_in(*args: Any, **options: Any) -> Any:
            refusal = ""
            if not looks or not _has_any_left_to_the_original((*args, *options.values())):
                try:
                    result = function(*args, **options)
                except Unsupported:
                    pass
                except errors as error:
                    refusal = traceback.format_exception_only(error)[-1].strip()
                else:
                    counts[0] += 1
                    return result
            counts[1] += 1
            result = original(*args, **options)
            if refusal:
                refused[name] = refusal
            return result

        return stand_in


def _functions(library: str) -> list[tuple[str, Function, Function, tuple[type[Exception], ...]]]:
    """Of each function: its name, the library's, ours, and what ours raises for wrong arguments."""
    theirs, ours = importlib.import_module(library), importlib.import_module(LIBRARIES[library])
    errors: tuple[type[Exception], ...] = (TypeError, ValueError)
    if library == "scipy.ndimage":
        errors += (RuntimeError,)
    elif library == "cv2":
        errors += (ours.error,)
    found = []
    for name in ours.__all__:
        function, original = getattr(ours, name), getattr(theirs, name, None)
        if callable(function) and not isinstance(function, type) and callable(original):
            found.append((f"{library}.{name}", original, function, errors))
    return found


_NUMPYS = np.ndarray.__array_function__


# Types that need no second look.
_PLAIN = frozenset({np.ndarray, type(None), bool, int, float, complex, str, tuple, list})


def _has_any_left_to_the_original(arguments: tuple[Any, ...]) -> bool:
    """Whether there are arguments whose types NumPy would ask what to do (NEP 18), or that are iterators.

    What fastconv has taken out of an iterator, the original would not find in it any more.
    """
    if _PLAIN.issuperset(map(type, arguments)):
        return False
    return any(
        getattr(kind, "__array_function__", _NUMPYS) is not _NUMPYS or hasattr(kind, "__next__")
        for kind in map(type, arguments)
    )


def patch(*libraries: Library) -> Patch:
    """Have fastconv compute what a program asks other libraries for.

    The functions of `fastconv.compat` take the place of those of the same name. Those of NumPy and SciPy stay the
    objects that they are, and are changed inside: a function taken by ``from scipy.signal import convolve``, before or
    during the patch, computes by fastconv as long as the patch is in force, and tables that have it as a key find it.
    OpenCV's functions, which are written in C, are replaced in every module that has one of them under some name.

    The original computes what fastconv does not support, and any call with an argument, positional or by keyword, whose
    type has an ``__array_function__`` of its own (arrays with units, or of dask) or is an iterator. It also gets what
    fastconv refuses as wrong, since a program expects the original's own error; if it has a result instead, that is
    returned, and `Patch.refused` tells of it. Any other exception reaches the caller: it comes from an argument's own
    methods, or is a fault of fastconv's that must be seen.

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
    A patch holds for the whole process, not for one thread: other threads see it at once, and one that is inside a
    function finishes it as it began. Functions are replaced one by one, so a thread may see some of them changed and
    others not yet. Of several patches in force the one made last computes and counts; they may be undone in any order.

    Code compiled by Numba is not changed: there `numpy.convolve` is Numba's, before, during and after. Nor is a
    function of OpenCV that is kept in a list, a default argument or a class, and not looked up in a module at each
    call. One that is kept beyond the patch calls the original.

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
