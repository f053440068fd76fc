"""Kernels of `PIL.ImageFilter`, converted from correlation to convolution."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._model.arguments import as_float
from fastconv._model.message_formatting import shown
from fastconv._model.passed_exceptions import passed


def from_pillow(kernel: Any, *, dtype: DTypeLike = np.float32) -> dict[str, Any]:
    """Convert a kernel of Pillow's `ImageFilter` to arguments of `fastconv.image.filter`.

    ``fastconv.image.filter(picture, **from_pillow(ImageFilter.BLUR))`` gives the pixels of
    ``picture.filter(ImageFilter.BLUR)`` for 8 bits per channel, with two exceptions: Pillow copies the outermost
    pixels, one on each side for 3 x 3 taps and two for 5 x 5, and it filters an alpha channel like a colour.

    Parameters
    ----------
    kernel : PIL.ImageFilter.Kernel, or a class such as PIL.ImageFilter.BLUR
        3 x 3 or 5 x 5 taps. Pillow has ten such classes: BLUR, CONTOUR, DETAIL, EDGE_ENHANCE, EDGE_ENHANCE_MORE,
        EMBOSS, FIND_EDGES, SHARPEN, SMOOTH and SMOOTH_MORE.
    dtype : {'float32', 'float64'}
        The type of the taps.

    Returns
    -------
    dict
        Arguments of `fastconv.image.filter`.

        kernel : ndarray of `dtype`, shape (3, 3) or (5, 5)
            Pillow correlates with the rows upside down, and a convolution rotates the kernel by 180 degrees: here the
            taps are mirrored left to right.
        scale : float
            The divisor of the sums: Pillow's, or 1 if that is 0. (Pillow's default is the sum of the taps. If that is
            0, Pillow divides by zero, and its picture is meaningless.)
        offset : float
            Added after the division: Pillow's, in grey levels, plus a small amount if a result can be a half: Pillow
            rounds halves up, `fastconv.image.filter` rounds them to even.

    Raises
    ------
    TypeError
        If `kernel` is neither (a `GaussianBlur` or a `MedianFilter` has no taps), or `dtype` is not a dtype.
    ValueError
        If there are not 3 x 3 or 5 x 5 taps, if a tap, the scale or the offset is not finite in `dtype`, or if `dtype`
        is another type.

    See Also
    --------
    fastconv.image.filter : Takes what it returns.

    Notes
    -----
    For integer pixels all results are ``offset + n / grain`` with integers `n`, where `grain` is the least common
    denominator of the taps over the scale. If ``grain * (offset + 1/2)`` is an integer, results can be a half; adding
    ``1 / (4 * grain)`` moves these above the half, and leaves all others, which are at least ``1 / grain`` away, on
    their side. Otherwise nothing is added.

    Pillow rounds the taps over the scale to float32, and sums in float32. For a scale that is a power of two, and small
    integer taps and offset, that is exact, and both agree in every pixel. For other scales Pillow's rounding errors
    decide how a half is rounded: of its own kernels, DETAIL (scale 6) and SMOOTH_MORE (100) may differ by one grey
    level, only where the exact result is a half; on noise that is about one pixel in 15 for DETAIL, and one in 700 for
    SMOOTH_MORE. SMOOTH (13) has no halves.

    Examples
    --------
    >>> from PIL import ImageFilter
    >>> from fastconv.kernels import from_pillow
    >>> found = from_pillow(ImageFilter.Kernel((3, 3), [1, 2, 3, 4, 5, 6, 7, 8, 9], scale=15, offset=1))
    >>> found["kernel"]
    array([[3., 2., 1.],
           [6., 5., 4.],
           [9., 8., 7.]], dtype=float32)
    >>> found["scale"], found["offset"]
    (15.0, 1.0)

    An even scale has halves:

    >>> from_pillow(ImageFilter.BLUR)["offset"] * 64
    1.0
    """
    from PIL import ImageFilter

    floats = as_float(dtype)
    base = ImageFilter.BuiltinFilter
    if not (isinstance(kernel, base) or (isinstance(kernel, type) and issubclass(kernel, base))):
        raise TypeError(
            f"kernel must be a PIL.ImageFilter.Kernel, or a class such as ImageFilter.BLUR; got {shown(kernel)}"
        )
    if not hasattr(kernel, "filterargs"):
        raise TypeError(f"kernel must have taps; got the class {shown(kernel)}, which has none")
    try:
        (width, height), scale, offset, taps = kernel.filterargs
        with np.errstate(all="ignore"):
            flat = np.array([*taps, scale, offset], floats)
        scale, offset = float(scale) or 1.0, float(offset)
    except passed():
        raise
    except OverflowError as error:
        raise ValueError(f"kernel must hold numbers finite in {floats}; got {shown(kernel.filterargs)}") from error
    except Exception as error:
        raise TypeError(f"kernel must hold numbers; got {shown(kernel.filterargs)}") from error
    if (width, height) not in ((3, 3), (5, 5)) or flat.size != width * height + 2:
        raise ValueError(f"kernel must have 3 x 3 or 5 x 5 taps; got {width} x {height}")
    if not np.isfinite(flat).all():
        raise ValueError(f"kernel must hold numbers finite in {floats}; got {shown(kernel.filterargs)}")
    rows = flat[:-2].reshape(height, width)
    grain = math.lcm(*((Fraction(float(tap)) / Fraction(scale)).denominator for tap in rows.flat))
    if (grain * (Fraction(offset) + Fraction(1, 2))).denominator == 1:
        offset += 1 / (4 * grain)
    return {"kernel": np.ascontiguousarray(rows[:, ::-1]), "scale": scale, "offset": offset}
