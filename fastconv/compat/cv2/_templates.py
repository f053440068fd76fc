"""OpenCV's template matching: by correlations, or by squared differences, normalized or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._planning.pictures import windows
from fastconv._runtime.interruptible_numpy import chunk_slices, converted
from fastconv.compat._unsupported import Unsupported
from fastconv.compat.cv2._arguments import ASSERTION, as_integer, as_mat, error
from fastconv.compat.cv2._filter import stored
from fastconv.convolution import correlate2d

TM_SQDIFF, TM_SQDIFF_NORMED, TM_CCORR, TM_CCORR_NORMED, TM_CCOEFF, TM_CCOEFF_NORMED = range(6)

_NORMED = TM_SQDIFF_NORMED, TM_CCORR_NORMED, TM_CCOEFF_NORMED
_COEFFICIENTS = TM_CCOEFF, TM_CCOEFF_NORMED
_DIFFERENCES = TM_SQDIFF, TM_SQDIFF_NORMED
# Types of pixels; those of the squares of which means are exact.
_TYPES = {"u1": np.int32, "f4": np.float64}
_DOUBLE = np.dtype(np.float64)
# Quotients a little larger than 1 are 1.
_MOST_EXCESS = 1.125


def matchTemplate(
    image: NDArray, templ: NDArray, method: int, result: NDArray | None = None, mask: NDArray | None = None
) -> NDArray[np.float32]:
    """Compare a template with all parts of a picture, as `cv2.matchTemplate`.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        The picture, of uint8 or float32.
    templ : ndarray, shape (h, w) or (h, w, C)
        The template, of the same type and channels; what is larger in both directions is the picture.
    method : int
        ``TM_SQDIFF``, ``TM_CCORR`` or ``TM_CCOEFF``, 0, 2 and 4: the sum of squared differences, of products, and of
        products of differences from means; or with ``_NORMED``, 1, 3 and 5, that over the norms.
    result : ndarray, optional
        Array for the result, as `dst` of other functions.
    mask : ndarray, optional
        Only OpenCV supports masks.

    Returns
    -------
    ndarray of float32, shape (H - h + 1, W - w + 1)
        `result`, or a new array.

    Raises
    ------
    error
        For arrays of other shapes or types, another method, and arguments of the wrong type.

    See Also
    --------
    fastconv.image.normalized_cross_correlation : The last method for all types, with the peak.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat import cv2
    >>> picture = np.arange(30, dtype=np.uint8).reshape(5, 6) ** 2
    >>> found = cv2.matchTemplate(picture, picture[1:3, 2:5].copy(), cv2.TM_CCOEFF_NORMED)
    >>> found.shape, round(float(found[1, 2]), 4)
    ((4, 4), 1.0)
    """
    x, taps, kind = as_mat(image, "image"), as_mat(templ, "templ"), as_integer(method, "method")
    if not TM_SQDIFF <= kind <= TM_CCOEFF_NORMED:
        raise error(f"method must be an integer in 0 .. {TM_CCOEFF_NORMED}; got {kind}", ASSERTION)
    if mask is not None:
        raise Unsupported("mask must be None for fastconv")
    if x.dtype.str[1:] not in _TYPES or taps.dtype != x.dtype or taps.shape[2:] != x.shape[2:]:
        raise error(
            f"image and templ must be of one type, uint8 or float32, and of the same channels; got {x.dtype} "
            f"{x.shape} and {taps.dtype} {taps.shape}",
            ASSERTION,
        )
    if x.shape[0] < taps.shape[0] or x.shape[1] < taps.shape[1]:
        x, taps = taps, x
    if x.shape[0] < taps.shape[0] or x.shape[1] < taps.shape[1]:
        raise error(f"templ must fit into image; got {taps.shape[:2]} and {x.shape[:2]}", ASSERTION)
    return stored(_match(np.atleast_3d(x), converted(np.atleast_3d(taps), _DOUBLE), kind), result)


def _match(x: NDArray, taps: NDArray, kind: int) -> NDArray[np.float32]:
    """The comparison by a method, in float64: rounded at the end."""
    size, channels = (taps.shape[0], taps.shape[1]), range(x.shape[2])
    area = size[0] * size[1]
    with np.errstate(all="ignore"):
        means = taps.mean((0, 1)) if kind in _COEFFICIENTS else np.zeros(taps.shape[2])
        norm = float(((taps - means) ** 2).sum())
    found: Any = 0.0
    if kind == TM_CCOEFF_NORMED and norm / area < np.finfo(_DOUBLE).eps:
        return np.ones((x.shape[0] - size[0] + 1, x.shape[1] - size[1] + 1), np.float32)
    squares = _sums(x, size, squared=True) if kind in (*_NORMED, TM_SQDIFF) else None
    energy = None if squares is None else squares.sum(-1)
    with np.errstate(all="ignore"):
        for k in channels:
            plane = converted(x[..., k], _DOUBLE)
            found = found + correlate2d(plane, np.ascontiguousarray(taps[..., k]), "valid")
        if kind in _COEFFICIENTS:
            sums = _sums(x, size)
            found -= sums @ means
            if energy is not None:
                energy = energy - (sums**2).sum(-1) / area
        if kind in _DIFFERENCES:
            assert squares is not None
            found = np.maximum(squares.sum(-1) - 2 * found + norm, 0)
        if kind in _NORMED:
            assert energy is not None
            assert squares is not None
            _normalize(found, np.maximum(energy, 0), squares.sum(-1), norm, kind)
        return found.astype(np.float32)


def _sums(x: NDArray, size: tuple[int, int], squared: bool = False) -> NDArray[np.float64]:
    """Sums over the windows of the template, or of squares."""
    if squared:
        wide = converted(x, np.dtype(_TYPES[x.dtype.str[1:]]))
        with np.errstate(all="ignore"):
            wide *= wide
        x = wide
    request = windows.Request(x.dtype, x.shape, (0, 1), size, "valid", "reflect", 0, _DOUBLE)
    return windows.compute(request, x, None) * (size[0] * size[1])


def _normalize(found: NDArray, energy: NDArray, squares: NDArray, norm: float, kind: int) -> None:
    """Divide by the norms in place: OpenCV's rules for windows that are flat or nearly so."""
    flat = float(kind == TM_SQDIFF_NORMED)
    for chunk in chunk_slices(found.shape):
        part = found[chunk]
        least = np.minimum(0.5, 10 * float(np.finfo(np.float32).eps) * squares[chunk])
        scale = np.where(energy[chunk] <= least, 0, np.sqrt(energy[chunk]) * np.sqrt(norm))
        size = np.abs(part)
        nearly = np.where(size < _MOST_EXCESS * scale, np.sign(part), flat)
        part[...] = np.where(size < scale, part / scale, nearly)
