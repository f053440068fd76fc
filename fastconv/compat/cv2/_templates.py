"""OpenCV's template matching: by correlations, or by squared differences, normalized or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._model.flat_windows import FLAT_ENERGY
from fastconv._planning.pictures import template_scores, windows
from fastconv._runtime.interruptible_numpy import add, converted
from fastconv.compat._unsupported import Unsupported
from fastconv.compat.cv2._arguments import ASSERTION, as_integer, as_mat, error
from fastconv.compat.cv2._filter import stored
from fastconv.convolution import correlate2d

TM_SQDIFF, TM_SQDIFF_NORMED, TM_CCORR, TM_CCORR_NORMED, TM_CCOEFF, TM_CCOEFF_NORMED = range(6)

_COEFFICIENTS = TM_CCOEFF, TM_CCOEFF_NORMED
_RULES = {
    TM_SQDIFF: "differences",
    TM_SQDIFF_NORMED: "normed differences",
    TM_CCORR: "products",
    TM_CCORR_NORMED: "normed products",
    TM_CCOEFF_NORMED: "coefficients",
}
# Types of pixels.
_TYPES = "u1", "f4"
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


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


def _match(x: NDArray[Any], taps: NDArray[Any], kind: int) -> NDArray[np.float32]:
    """The comparison by a method: products in float32 of bytes less their means, all else in float64."""
    size, is_whole = (taps.shape[0], taps.shape[1]), x.dtype.itemsize == 1
    area, channels = size[0] * size[1], range(x.shape[2])
    with np.errstate(all="ignore"):
        means = taps.mean((0, 1))
        distances = taps - means
        norm = float(np.linalg.norm(distances if kind in _COEFFICIENTS else taps))
        if kind == TM_CCOEFF_NORMED and norm * norm / area < np.finfo(_DOUBLE).eps:
            return np.ones((x.shape[0] - size[0] + 1, x.shape[1] - size[1] + 1), np.float32)
        weights = distances if is_whole or kind in _COEFFICIENTS else taps
        found = _products(x[..., 0], weights[..., 0])
        for k in channels[1:]:
            add(found, _products(x[..., k], weights[..., k]))
        if kind == TM_CCOEFF or (kind == TM_CCORR and not is_whole):
            return converted(found, _SINGLE)
        rule, factor = _RULES[kind], float(area) if is_whole else 0.0
        if kind == TM_CCOEFF_NORMED and not (is_whole and len(channels) == 1):
            rule += " by deviation"
        shares = means if len(channels) > 1 else np.ones(1)
        numbers = template_scores.Numbers(factor if len(channels) > 1 else factor * float(means[0]), area, norm)
        out = np.empty(found.shape, _SINGLE)
        for rows, sources in template_scores.strips(len(out), x.shape[1], size[0]):
            first, squares = _moments(x[sources], size, kind, shares)
            template_scores.fill(rule, found[rows], first, squares, out[rows], numbers, None)
    return out


def _products(plane: NDArray, weights: NDArray) -> NDArray:
    """Sums of products with the weights, of bytes less about their mean."""
    if plane.dtype.itemsize == 1:
        mean, _ = template_scores.about_the_mean(plane)
        plane = template_scores.centred(plane, mean, 0, _SINGLE)
        return correlate2d(plane, weights.astype(_SINGLE), "valid")
    return correlate2d(plane, np.ascontiguousarray(weights), "valid")  # in float64, as the weights


def _moments(x: NDArray, size: tuple[int, int], kind: int, weights: NDArray) -> tuple[NDArray, NDArray]:
    """What the rule of a method needs of the windows: weighted means or deviations, and means of squares.

    Those of all channels are added up. What is not needed is any array.
    """
    request = windows.Request(x.dtype, x.shape, (0, 1), size, "valid", "reflect", 0, _DOUBLE)
    moments, is_whole = template_scores.moments, x.dtype.itemsize == 1
    if not is_whole and kind == TM_CCOEFF_NORMED:
        deviations = _total_deviation(windows.compute(request._replace(deviations=True), x, None))
        # Larger energies are not of flat windows, whatever the squares are.
        if size[0] * size[1] * float(deviations.min()) ** 2 > FLAT_ENERGY:
            return deviations, deviations
        return deviations, _total(moments(x, request, True, None))
    means = moments(x, request, False, None) if is_whole else None
    if kind == TM_CCORR:
        assert means is not None
        total = _total(means, weights)
        return total, total
    squares = moments(x, request, True, None)
    energy = _total(squares)
    if means is None:
        return energy, energy
    if kind == TM_CCOEFF_NORMED and x.shape[2] > 1:
        return _total_deviation(np.sqrt(np.maximum(squares - means * means, 0))), energy
    return _total(means, weights), energy


def _total(found: NDArray, weights: NDArray | None = None) -> NDArray:
    """The sum over channels."""
    if found.shape[2] == 1:
        return found[..., 0]
    return found.sum(-1) if weights is None else found @ weights


def _total_deviation(found: NDArray) -> NDArray:
    return found[..., 0] if found.shape[2] == 1 else np.sqrt((found * found).sum(-1))
