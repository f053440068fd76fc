"""The kernels of `PIL.ImageFilter`, turned into those of a convolution."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._model.arguments import as_float
from fastconv._model.messages import PASSED, shown


def from_pillow(kernel: Any, *, dtype: DTypeLike = np.float32) -> dict[str, Any]:
    """A kernel of Pillow's `ImageFilter`, as arguments for `fastconv.image.filter`.

    With them ``fastconv.image.filter(picture, **from_pillow(ImageFilter.BLUR))`` does what
    ``picture.filter(ImageFilter.BLUR)`` does to a picture of 8 bits a channel, but for two things. Pillow leaves the
    outermost pixels as they are, one all around for 3 x 3 taps and two for 5 x 5. And it filters an alpha channel, too.

    Parameters
    ----------
    kernel : PIL.ImageFilter.Kernel, or a class such as PIL.ImageFilter.BLUR
        3 x 3 or 5 x 5 taps. Pillow has ten such classes: BLUR, CONTOUR, DETAIL, EDGE_ENHANCE, EDGE_ENHANCE_MORE,
        EMBOSS, FIND_EDGES, SHARPEN, SMOOTH and SMOOTH_MORE.
    dtype : {'float32', 'float64'}
        Of the taps.

    Returns
    -------
    dict
        kernel : ndarray of `dtype`, shape (3, 3) or (5, 5)
            Pillow lays its taps over the picture with the rows upside down; a convolution turns them by 180 degrees.
            So they stand here with left and right exchanged.
        scale : float
            What the sums are divided by: Pillow's, and 1 where that is 0. (Pillow takes the sum of the taps if it is
            given none. Of taps that sum to 0 it makes a division by zero, and a picture of no meaning.)
        offset : float
            What is added then: Pillow's, in grey levels, and a little more where a result can be a half. Pillow rounds
            halves up, `fastconv.image.filter` to even.

    Raises
    ------
    TypeError
        If `kernel` is neither, or `dtype` no type. A `GaussianBlur` or a `MedianFilter` has no taps.
    ValueError
        If there are not 3 x 3 or 5 x 5 taps, one, the scale or the offset is not finite in `dtype`, or that is another
        type.

    Notes
    -----
    For pixels that are whole numbers, all results are ``offset + n / grain`` with whole numbers `n`; `grain` is the
    least common denominator of the taps over the scale. If some are a half, then ``1 / (4 * grain)`` more puts these
    above it, and leaves all others, which are at least ``1 / grain`` away, on their side. If none are, nothing is
    added: ``grain * (offset + 1/2)`` is no whole number then.

    Pillow itself rounds the taps over the scale, and sums, in float32. Where the scale is a power of two, and the taps
    and the offset are small whole numbers, that is exact, and so both agree in every pixel. For other scales its
    rounding decides on which side a half comes to lie: of Pillow's own, those of DETAIL (scale 6) and SMOOTH_MORE
    (100) may differ by one grey level, where the exact result is a half, and nowhere else. On noise that is about one
    pixel in 15 for DETAIL, and one in 700 for SMOOTH_MORE. SMOOTH (13) has no halves.

    Examples
    --------
    >>> from PIL import ImageFilter
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
        raise TypeError(f"kernel must have taps; got the class {shown(kernel)} itself, without any")
    try:
        (width, height), scale, offset, taps = kernel.filterargs
        with np.errstate(over="ignore"):
            flat = np.array([*taps, scale, offset], floats)
        scale, offset = float(scale) or 1.0, float(offset)
    except PASSED:
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
