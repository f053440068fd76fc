"""Named kernels.

Every function returns a new 2-D array. By default its dtype is float32, so that pictures of 8 or 16 bits and of float32
are convolved in float32 (`numpy.result_type`). With ``dtype="float64"`` taps have the precision of float64, the type in
which pictures of int32 and float64 are summed. Other dtypes raise a ValueError, and anything else a TypeError.

All are *convolution* kernels: `fastconv.convolve2d` flips them. An asymmetric kernel that is published as a correlation
template is therefore stored rotated by 180 degrees, and gives the same results.

Rows go down and columns go to the right. Angles are in degrees, counterclockwise from the right as the picture is seen:
0 points along a row to higher columns, 90 up a column to lower rows.

`parse` and `read` make kernels from text, and `from_pillow` from those of `PIL.ImageFilter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._model.message_formatting import shown
from fastconv._runtime.lazy_modules import directory
from fastconv.kernels._derivatives import (
    edge,
    laplacian,
    log,
    prewitt_x,
    prewitt_y,
    ridge,
    scharr_x,
    scharr_y,
    sobel_x,
    sobel_y,
)
from fastconv.kernels._oriented import gabor, motion
from fastconv.kernels._pillow import from_pillow
from fastconv.kernels._sharpening import emboss, identity, sharpen, unsharp, unsharp_5x5
from fastconv.kernels._smoothing import binomial, box, disk, gaussian
from fastconv.kernels._text import parse, read
from fastconv.kernels._text import quotient as quotient

__all__ = [
    "NAMES",
    "binomial",
    "box",
    "disk",
    "edge",
    "emboss",
    "from_pillow",
    "gabor",
    "gaussian",
    "identity",
    "laplacian",
    "log",
    "motion",
    "named",
    "parse",
    "prewitt_x",
    "prewitt_y",
    "read",
    "ridge",
    "scharr_x",
    "scharr_y",
    "sharpen",
    "sobel_x",
    "sobel_y",
    "unsharp",
    "unsharp_5x5",
]
__dir__ = directory(__name__)

#: The kernels by their names on the command line.
NAMES: Mapping[str, Callable[..., NDArray[np.floating]]] = MappingProxyType(
    {
        "identity": identity,
        "edge": edge,
        "ridge": ridge,
        "sharpen": sharpen,
        "unsharp": unsharp,
        "unsharp-5x5": unsharp_5x5,
        "emboss": emboss,
        "box": box,
        "binomial": binomial,
        "disk": disk,
        "gaussian": gaussian,
        "motion": motion,
        "sobel-x": sobel_x,
        "sobel-y": sobel_y,
        "prewitt-x": prewitt_x,
        "prewitt-y": prewitt_y,
        "scharr-x": scharr_x,
        "scharr-y": scharr_y,
        "laplacian": laplacian,
        "log": log,
        "gabor": gabor,
    }
)


def named(name: str, *, dtype: DTypeLike = np.float32, **parameters: Any) -> NDArray[np.floating]:
    """Return a kernel by its name.

    Parameters
    ----------
    name : str
        A key of `NAMES`, with hyphens or underscores.
    dtype : {'float32', 'float64'}
        The type of the taps.
    **parameters : optional
        Parameters of the kernel's function, by default those in its signature.

    Returns
    -------
    ndarray of `dtype`, 2-D
        The taps.

    Raises
    ------
    ValueError
        If there is no kernel of that name, or a parameter has a value that the kernel cannot have.
    TypeError
        If `name` is not a string, or the kernel does not have one of the parameters.

    See Also
    --------
    parse : A kernel from rows of numbers.

    Examples
    --------
    >>> from fastconv.kernels import named
    >>> named("box").shape, named("box", size=5).shape
    ((3, 3), (5, 5))
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, one of {', '.join(NAMES)}; got {shown(name)}")
    plain = str.__str__(name).replace("_", "-")  # members of an enumeration have a `__str__` of their own
    if plain not in NAMES:
        raise ValueError(f"no kernel is called {shown(name)}; the names are {', '.join(NAMES)}")
    known = tuple(signature(NAMES[plain]).parameters)
    for parameter in parameters:
        if parameter not in known:
            takes = ", ".join(one for one in known if one != "dtype") or "no parameters"
            raise TypeError(f"kernel {plain!r} takes {takes}; got {parameter}")
    return NAMES[plain](dtype=dtype, **parameters)
