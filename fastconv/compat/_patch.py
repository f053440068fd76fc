"""Replace functions of other libraries by fastconv's, and restore them.

Functions of NumPy and SciPy keep their identity: only the code object of the Python function that does the work is
replaced, behind NumPy's dispatcher and SciPy's decorators. Tables keyed on the function still find it (Numba's
overloads, unit libraries, SciPy's array backends), and the patch takes effect, and ends, wherever a reference is held:
from-imports, lists, default arguments, partial objects. Functions in C (OpenCV's) and Python functions with free
variables have no replaceable code: their names are rebound in every module.
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

from fastconv._model.arguments import as_bool
from fastconv._model.passed_exceptions import is_from_signal_handler
from fastconv._runtime import fork_safety
from fastconv.compat._unsupported import Unsupported

Library = Literal["numpy", "scipy.signal", "scipy.ndimage", "cv2", "astropy.convolution", "dask_image.ndfilters"]
Function = Callable[..., Any]

# The replacement module of each library.
LIBRARIES: dict[str, str] = {
    "numpy": "fastconv.compat.numpy",
    "scipy.signal": "fastconv.compat.signal",
    "scipy.ndimage": "fastconv.compat.ndimage",
    "cv2": "fastconv.compat.cv2",
    "astropy.convolution": "fastconv.compat.astropy",
    "dask_image.ndfilters": "fastconv.compat.dask_image",
}
# Guards the targets and `_targets`.
lock = fork_safety.new_lock(fork_safety.PATCH)


class Calls(NamedTuple):
    """Number of calls of a function computed by fastconv and by the original.

    See Also
    --------
    patch : Replace functions, and count their calls.
    """

    fastconv: int
    original: int


class _Target:
    """A function of another library with its stack of stand-ins, one for each active patch; the last one is called.

    Attributes
    ----------
    original : callable
        The library's implementation, never patched.
    now : callable
        The function that a call runs.
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
    return _target.now(*args, **options)  # type: ignore[name-defined]  # noqa: F821, each copy has its own global


class InPlace(_Target):
    """A target whose function keeps its identity: a patch replaces only its code object.

    The target is stored as a global of the function's module and stays there after the patch, for threads that are
    about to run the replaced code.
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
        name = f"_fastconv_target_{next(self._serial)}"  # unique, since others may keep copies of the code
        function.__globals__[name] = self
        # Keep the source location, for `inspect.getsource`.
        kept = ("co_name", "co_qualname", "co_filename", "co_firstlineno")
        places = {field: getattr(code, field) for field in kept if hasattr(code, field)}
        names = tuple(name if used == "_target" else used for used in _call_target.__code__.co_names)
        self._code: CodeType = _call_target.__code__.replace(co_names=names, **places)

    @property
    def is_known(self) -> bool:
        """False if other software has replaced the code of the function meanwhile."""
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
    """A target whose names are bound to a replacement in all modules while it is patched.

    References to the replacement that outlive the patch then call the original.
    """

    def __init__(self, original: Function):
        super().__init__(original)

        @functools.wraps(original)
        def replacement(*args: Any, **options: Any) -> Any:
            return self.now(*args, **options)

        self.replacement = replacement


# All targets so far, by the function that is patched; those patched by name also by their replacement.
_targets: dict[Function, _Target] = {}


def target_of(function: Function) -> _Target:
    """Return the target of a library's function."""
    plain = plain_function(function)
    found = _targets.get(function if plain is None else plain)
    if plain is None:
        if found is None:
            found = _targets[function] = by_name = _ByName(function)
            _targets[by_name.replacement] = by_name
    elif not (isinstance(found, InPlace) and found.is_known):
        found = _targets[plain] = InPlace(plain)
    return found


def plain_function(function: Function) -> FunctionType | None:
    """Return the Python function below dispatcher and decorators; None if its code cannot be replaced."""
    inner = inspect.unwrap(function)
    return inner if isinstance(inner, FunctionType) and not inner.__code__.co_freevars else None


class _Name(NamedTuple):
    """The object that the names of a function are to be bound to."""

    found: Function
    wanted: Function
    is_patched: bool


def _apply(targets: Iterable[_Target]) -> set[str]:
    """Update code objects and names to the state of the targets; return the names that are patched now."""
    names: dict[int, _Name] = {}
    for target in targets:
        if isinstance(target, InPlace):
            target.apply()
        elif isinstance(target, _ByName):
            pair = target.original, target.replacement
            for function in pair:
                names[id(function)] = _Name(function, pair[target.is_patched], target.is_patched)
    patched = set()
    for module in list(sys.modules.values()) if names else []:
        module_name = vars(module).get("__name__") if isinstance(module, ModuleType) else None
        if not isinstance(module_name, str) or module_name.split(".")[0] == "fastconv":
            continue
        for name, value in list(vars(module).items()):
            entry = names.get(id(value))
            if entry is None or entry.found is not value:
                continue
            if entry.wanted is not value:
                setattr(module, name, entry.wanted)
            if entry.is_patched:
                patched.add(f"{module_name}.{name}")
    return patched


class Patch:
    """Replaced functions, until `undo` or, as a context manager, until the end of the block.

    Attributes
    ----------
    replaced : tuple of str
        Names of the replaced functions: ``"numpy.convolve"``. For functions in C, every name in every module.

    See Also
    --------
    patch : Replace functions, and count their calls.
    """

    def __init__(self, libraries: tuple[str, ...], bits: bool = True):
        self._stand_ins: list[tuple[_Target, Function]] = []
        self._counts: dict[str, list[int]] = {}
        self._refused: dict[str, str] = {}
        self._is_undone = False
        functions = [found for library in libraries for found in _functions(library, bits)]
        replaced = set()
        with lock:
            try:
                for name, original, function, errors in functions:
                    target = target_of(original)
                    stand_in = self._stand_in(name, function, target.original, errors)
                    self._stand_ins.append((target, stand_in))
                    target.add(stand_in)
                    if isinstance(target, InPlace):
                        replaced.add(name)
                replaced |= _apply(target for target, _ in self._stand_ins)
            except BaseException:
                self.undo()
                raise
        self.replaced = tuple(sorted(replaced))

    def __enter__(self) -> Patch:
        if self._is_undone:
            raise RuntimeError("this patch has been undone, and replaces nothing; call patch() again")
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Patch belongs to its process and cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "undone" if self._is_undone else f"{len(self.replaced)} names replaced"
        return f"<fastconv.compat.patch: {state}>"

    @property
    def calls(self) -> dict[str, Calls]:
        """Number of calls of each function through this patch, by its name in the library."""
        return {name: Calls(*counts) for name, counts in self._counts.items() if any(counts)}

    @property
    def refused(self) -> dict[str, str]:
        """The last error of fastconv for each function whose original accepted the same arguments.

        Some originals accept arguments that fastconv is documented to refuse. Please report anything else as a bug.
        """
        return dict(self._refused)

    def undo(self) -> None:
        """End the patch; later patches stay in force, and a second call does nothing.

        Names are restored in all modules, also in those imported meanwhile. Replacements by other software stay.

        See Also
        --------
        patch : Replace functions.

        Examples
        --------
        >>> from fastconv.compat import patch
        >>> patched = patch("numpy")
        >>> patched.undo()
        """
        with lock:
            for target, stand_in in self._stand_ins:
                target.remove(stand_in)
            _apply(target for target, _ in self._stand_ins)
            self._stand_ins.clear()
            self._is_undone = True

    def _stand_in(self, name: str, function: Function, original: Function, errors: tuple[type[Exception], ...]):
        counts = self._counts.setdefault(name, [0, 0])
        refused = self._refused
        # NumPy's functions need no check here: its dispatcher and `fastconv.compat.numpy` check the arguments, as
        # `fastconv.compat.dask_image` does, which is for dask arrays.
        checks = not name.startswith(("numpy.", "dask_image."))

        def stand_in(*args: Any, **options: Any) -> Any:
            refusal = ""
            if not checks or not _needs_original((*args, *options.values())):
                try:
                    result = function(*args, **options)
                except Unsupported:
                    pass
                except errors as error:
                    if is_from_signal_handler(error):
                        raise
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


def _functions(library: str, bits: bool) -> list[tuple[str, Function, Function, tuple[type[Exception], ...]]]:
    """List the functions of a library: name, original, replacement, errors of the replacement for invalid arguments."""
    theirs, ours = importlib.import_module(library), importlib.import_module(LIBRARIES[library])
    errors: tuple[type[Exception], ...] = (TypeError, ValueError)
    if library in ("scipy.ndimage", "dask_image.ndfilters"):
        errors += (RuntimeError,)
    elif library == "cv2":
        errors += (ours.error,)
    found = []
    for name in ours.__all__:
        function, original = getattr(ours, name), getattr(theirs, name, None)
        if callable(function) and not isinstance(function, type) and callable(original):
            if not bits and "bits" in inspect.signature(function).parameters:
                function = functools.partial(function, bits=False)
            found.append((f"{library}.{name}", original, function, errors))
    return found


_NUMPYS = np.ndarray.__array_function__


# Types that are always passed to fastconv.
_PLAIN = frozenset({np.ndarray, type(None), bool, int, float, complex, str, tuple, list})


def _needs_original(arguments: tuple[Any, ...]) -> bool:
    """True if an argument overrides ``__array_function__`` (NEP 18) or is an iterator.

    Items that fastconv consumed from an iterator would be missing in the call of the original.
    """
    if _PLAIN.issuperset(map(type, arguments)):
        return False
    return any(
        getattr(kind, "__array_function__", _NUMPYS) is not _NUMPYS or hasattr(kind, "__next__")
        for kind in map(type, arguments)
    )


def patch(*libraries: Library, bits: bool = True) -> Patch:
    """Replace the convolutions of other libraries by fastconv's in this process.

    The functions of `fastconv.compat` replace those of the same name. Functions of NumPy and SciPy keep their identity,
    and only their code is replaced: a function imported by ``from scipy.signal import convolve``, before or during the
    patch, computes with fastconv as long as the patch is in force, and remains valid as a key in tables. OpenCV's
    functions, which are written in C, are replaced under every name in every module.

    The original is called if fastconv does not support the arguments, or if one is an iterator or of a type that
    overrides ``__array_function__`` (arrays with units, or of dask). It is also called if fastconv refuses an argument
    as invalid, so that the program sees the original's own error; if it returns a result instead, that is returned and
    recorded in `Patch.refused`. Any other exception reaches the caller: it comes from an argument's own methods or from
    a bug in fastconv.

    Parameters
    ----------
    *libraries : {'numpy', 'scipy.signal', 'scipy.ndimage', 'cv2', 'astropy.convolution', 'dask_image.ndfilters'}
        The libraries to patch; they are imported.
    bits : bool, default True
        Whether floats of `scipy.ndimage` have SciPy's bits where `fastconv.compat.ndimage` has them; if not, its
        functions take the fastest method.

    Returns
    -------
    Patch
        Already in force. Leave its ``with`` block or call `Patch.undo` to end it.

    Raises
    ------
    ValueError
        For no library or an unknown one.
    TypeError
        For `bits` that are no bool.
    ImportError
        For a library that is not installed.

    See Also
    --------
    Patch : What it returns.

    Notes
    -----
    A patch affects the whole process, not one thread: other threads see it at once, and a call in progress finishes
    unchanged. Functions are replaced one by one, so a thread may see some of them replaced and others not yet. If
    several patches are in force, the last one computes and counts calls; they may be undone in any order.

    Code compiled by Numba is not affected: there `numpy.convolve` is Numba's own. Nor is a function of OpenCV that is
    held in a list, a default argument or a class instead of looked up in a module at each call. A reference to a
    replacement that outlives the patch calls the original.

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
        if not isinstance(library, str) or library not in LIBRARIES:
            raise ValueError(f"libraries must be among {', '.join(map(repr, LIBRARIES))}; got {library!r}")
    return Patch(tuple(dict.fromkeys(libraries)), as_bool(bits, "bits"))
