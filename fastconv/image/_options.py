"""The keywords that all functions of `fastconv.image` share: types, defaults, documentation and checks."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, Literal, NamedTuple, TypedDict, TypeVar

from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._model.arguments import METHODS, as_bool, as_choice, as_float, as_workers
from fastconv._model.geometry import BOUNDARIES, MODES
from fastconv._model.missing_data import NAN
from fastconv._runtime.progress_reports import Progress, reporting
from fastconv.convolution import Boundary, Method, Mode, Nan

if TYPE_CHECKING:
    from PIL import Image

    Picture = TypeVar("Picture", NDArray, Image.Image)
else:
    Picture = TypeVar("Picture")

Alpha = Literal["auto", "keep", "filter"]
ALPHAS = ("auto", "keep", "filter")


class Keywords(TypedDict, total=False):
    """The keywords, for type checkers."""

    mode: Mode
    axes: tuple[int, ...] | None
    boundary: Boundary
    fill_value: float
    alpha: Alpha
    alpha_channel: int | None
    linear: bool
    dtype: DTypeLike | None
    method: Method
    workers: int | None
    progress: Progress | None
    out: NDArray | None


class KeywordsOfMissing(Keywords, total=False):
    """Those of functions that leave out missing pixels."""

    nan: Nan
    weights: ArrayLike | None
    min_weight: float
    return_weight: bool
    missing_value: float | None


class Options(NamedTuple):
    """The values of the keywords, in the order of signatures."""

    mode: Mode = "same"
    axes: Any = None
    boundary: Boundary = "reflect"
    fill_value: Any = 0
    alpha: Alpha = "auto"
    alpha_channel: Any = None
    linear: bool = False
    dtype: Any = None
    method: Method = "auto"
    workers: int | None = None
    out: Any = None
    nan: Nan = "propagate"
    weights: Any = None
    min_weight: Any = 0.0
    return_weight: bool = False
    missing_value: Any = None

    @classmethod
    def of(cls, function: Callable[..., Any], keywords: Any) -> Options:
        """Check the keywords that were given to a function."""
        known = _taken[function.__name__]
        for name, value in keywords.items():
            if name not in known:
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}")
            if name in _CHECKS:
                keywords[name] = _CHECKS[name](value)
        return cls(**keywords)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "mode": lambda value: as_choice(value, "mode", MODES),
    "boundary": lambda value: as_choice(value, "boundary", BOUNDARIES),
    "alpha": lambda value: as_choice(value, "alpha", ALPHAS),
    "linear": lambda value: as_bool(value, "linear"),
    "dtype": lambda value: None if value is None else as_float(value, "None, float32 or float64"),
    "method": lambda value: as_choice(value, "method", METHODS),
    "workers": as_workers,
    "nan": lambda value: as_choice(value, "nan", NAN),
    "return_weight": lambda value: as_bool(value, "return_weight"),
}
MISSING = ("nan", "weights", "min_weight", "return_weight", "missing_value")
# Names in the order of signatures; `takes_options` takes care of `progress`.
_NAMES = tuple(Options._fields[: Options._fields.index("out")]) + ("progress",)
_NAMES += Options._fields[Options._fields.index("out") :]
_WITHOUT_MISSING = tuple(name for name in _NAMES if name not in MISSING)

_DOCUMENTATION = """\
mode : {'same', 'full', 'valid'}
    Which outputs to compute: 'same' keeps the size, 'full' gives ``W + L - 1`` by ``H + K - 1`` pixels for a kernel
    of ``K x L``, and 'valid', for kernels no larger than the picture, ``W - L + 1`` by ``H - K + 1``.
axes : tuple of int, optional
    The axes of an array to filter along, rows first; along all others, such as the slices of a stack, each position
    is a picture of its own. By default the first two; required for more than three dimensions.
boundary : {'reflect', 'mirror', 'nearest', 'wrap', 'zero', 'fill'}
    How the picture continues outside, as in `fastconv.convolve1d`.
fill_value : float
    The value outside in every channel, for ``boundary='fill'``; a value that a pixel can have.
alpha : {'auto', 'keep', 'filter'}
    How to treat an alpha channel. 'keep' leaves it unchanged and filters colours as stored, even of transparent
    pixels. 'filter' filters it too, and weights colours by it, so that transparent pixels do not bleed into others.
    'auto' filters it with kernels whose taps have a positive sum, such as blurs, and keeps it with others, and
    where pixels may be missing.
alpha_channel : int, optional
    The channel of an array, its last axis, that is alpha: the last one, such as 3 or -1. By default all are
    colours.
linear : bool
    Filter in linear light: colours are decoded from sRGB, and encoded again. For 8 and 16 bits, and for floats from
    0 to 1.
dtype : {'float32', 'float64'}, optional
    Return an array of this type, neither rounded nor saturated, as for signed derivatives; for Pillow pictures too,
    since Pillow has no float colours. By default the result is of the kind that is stated below.
method : {'auto', 'direct', 'separable', 'fft'}
    How to compute sums, as in `fastconv.convolve2d`.
workers : int, optional
    The maximum number of threads, as in `fastconv.convolve1d`.
progress : callable, optional
    Told how much is done, and may stop the work, as in `fastconv.convolve1d`.
out : ndarray, optional
    For arrays: the array to write the result to, of its shape and dtype. It may overlap `image`.
"""
_DOCUMENTATION_OF_MISSING = """\
nan, weights, min_weight, return_weight : optional
    What to do about missing pixels, as in `fastconv.convolve1d`. Weights may also be those of pixels, (H, W), for
    all channels. A picture stays of its kind: 8 bits in, 8 bits out.
missing_value : float, optional
    The result where too little is known, a value that a pixel can have; by default 0, or NaN for floats.
"""
_MARK = "    shared keywords\n"
_taken: dict[str, tuple[str, ...]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def takes_options(function: _Function) -> _Function:
    """Replace ``**options`` by the keywords, in the signature and where the docstring says "shared keywords"."""
    return _documented(function, _WITHOUT_MISSING, _DOCUMENTATION)


def takes_options_of_valid(function: _Function) -> _Function:
    """As `takes_options`, with 'valid' as the default of `mode`."""
    return _documented(function, _WITHOUT_MISSING, _DOCUMENTATION, {"mode": "valid"})


def takes_missing(function: _Function) -> _Function:
    """As `takes_options`, with the keywords for missing pixels."""
    return _documented(function, _NAMES, _DOCUMENTATION + _DOCUMENTATION_OF_MISSING)


def _documented(
    function: _Function, names: tuple[str, ...], documentation: str, other: dict[str, Any] | None = None
) -> _Function:
    """Give a function the keywords of these names; `other` are defaults other than those of `Options`."""
    _taken[function.__name__] = names
    others = other or {}

    @functools.wraps(function)
    def call(*arguments, **keywords):
        progress = keywords.pop("progress", None)
        if progress is None:
            return function(*arguments, **{**others, **keywords})
        with reporting(progress):
            return function(*arguments, **{**others, **keywords})

    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    types, defaults = KeywordsOfMissing.__annotations__, {**Options._field_defaults, **others}
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=getattr(types[name], "__forward_arg__", types[name]),
        )
        for name in names
    ]
    call.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    if function.__doc__ is not None:
        text = "".join(f"    {line}" for line in documentation.splitlines(keepends=True))
        assert _MARK in function.__doc__
        call.__doc__ = function.__doc__.replace(_MARK, text)
    return call  # type: ignore[return-value]
