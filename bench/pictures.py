"""Filters of pictures other than convolutions with one kernel, against OpenCV, SciPy and scikit-image.

    python -m bench.pictures [--threads N] [--brief]

All sides take turns (`alternation`), allocate their results, and are compared before anything is timed: pixels may
differ by one grey level. OpenCV has no such function for some filters: what its users write instead is measured. Times
are medians.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import fastconv.compat.cv2
from bench.comparisons import Comparison, Sides
from bench.data import SEED
from fastconv import image, kernels


class Filter(NamedTuple):
    """A filter of a square picture, with a size of its window, or a deviation."""

    filter: str
    dtype: str
    parameter: float
    size: int = 2048
    channels: int = 1

    @property
    def name(self) -> str:
        colours = "x3" if self.channels == 3 else ""
        return f"`{self.filter}` {self.parameter:g}, {self.dtype} {self.size}x{self.size}{colours}"


CASES = [
    *(Filter("box_blur", "uint8", size) for size in (3, 5, 9, 31, 101, 201)),
    *(Filter("box_blur", dtype, size, 512) for dtype in ("uint8", "float32") for size in (3, 9)),
    Filter("box_blur", "uint8", 31, channels=3),
    *(Filter("box_blur", "float32", size) for size in (3, 5, 9, 31, 101, 201)),
    *(Filter("local_std", "float32", size) for size in (9, 31, 101)),
    Filter("gaussian_gradient_magnitude", "float32", 2),
    Filter("laplacian_of_gaussian", "float32", 2),
    Filter("scharr_magnitude", "float32", 3),
    Filter("prewitt_magnitude", "float32", 3),
    *(Filter("sobel_magnitude", dtype, 3, size) for dtype in ("uint8", "float32") for size in (512, 2048)),
    Filter("edges", "uint8", 3),
    Filter("emboss", "uint8", 3),
    *(Filter(name, dtype, 5) for name in ("pyrDown", "pyrUp") for dtype in ("uint8", "float32")),
    *(Filter(name, "uint8", 5, channels=3) for name in ("pyrDown", "pyrUp")),
    *(Filter("motion_blur", dtype, 15) for dtype in ("uint8", "float32")),
    *(Filter("normalized_cross_correlation", dtype, 64) for dtype in ("uint8", "float32")),
    *(Filter("matchTemplate", dtype, 64) for dtype in ("uint8", "float32")),
]


def prepare(case: Filter, workers: int) -> Sides:
    """Return the call of each side."""
    import cv2
    import skimage.feature
    from scipy import ndimage

    random = np.random.default_rng(SEED)
    shape = (case.size, case.size) if case.channels == 1 else (case.size, case.size, case.channels)
    whole = case.dtype == "uint8"
    x = random.integers(0, 256, shape, np.uint8) if whole else random.uniform(0, 1, shape).astype(case.dtype)
    window, sigma, reflect = int(case.parameter), case.parameter, cv2.BORDER_REFLECT
    pair = (window, window)
    if case.filter == "box_blur":
        extents = (window, window, 1)[: x.ndim]
        return {
            "fastconv": lambda: image.box_blur(x, window, workers=workers),
            "OpenCV": lambda: cv2.blur(x, pair, borderType=reflect),
            "SciPy": lambda: ndimage.uniform_filter(x, extents, np.float32),  # integers are truncated in each pass
        }
    if case.filter == "local_std":

        def by_opencv():
            mean = cv2.blur(x, pair, borderType=reflect)
            return np.sqrt(np.maximum(cv2.sqrBoxFilter(x, -1, pair, borderType=reflect) - mean * mean, 0))

        def by_scipy():
            mean = ndimage.uniform_filter(x, window)
            return np.sqrt(np.maximum(ndimage.uniform_filter(x * x, window) - mean * mean, 0))

        ours = {"fastconv": lambda: image.local_std(x, window, workers=workers)}
        return {**ours, "OpenCV": by_opencv, "SciPy": by_scipy}
    if case.filter == "gaussian_gradient_magnitude":
        line = kernels.gaussian(sigma)[:, int(4 * sigma + 0.5)].astype("f8")
        line /= line.sum()
        slope = np.arange(-len(line) // 2 + 1, len(line) // 2 + 1) / sigma**2 * line

        def derivatives():
            across = cv2.sepFilter2D(x, -1, slope, line, borderType=reflect)
            return cv2.magnitude(across, cv2.sepFilter2D(x, -1, line, slope, borderType=reflect))

        return {
            "fastconv": lambda: image.gaussian_gradient_magnitude(x, sigma, workers=workers),
            "OpenCV": derivatives,
            "SciPy": lambda: ndimage.gaussian_gradient_magnitude(x, sigma),
        }
    if case.filter == "laplacian_of_gaussian":
        return {
            "fastconv": lambda: image.laplacian_of_gaussian(x, sigma, workers=workers),
            "SciPy": lambda: ndimage.gaussian_laplace(x, sigma),
        }
    if case.filter == "scharr_magnitude":

        def by_scharr():
            slopes = (cv2.Scharr(x, -1, *order, scale=1 / 16, borderType=reflect) for order in ((1, 0), (0, 1)))
            return cv2.magnitude(*slopes)

        return {"fastconv": lambda: image.scharr_magnitude(x, workers=workers), "OpenCV": by_scharr}
    if case.filter == "prewitt_magnitude":

        def by_prewitt():
            taps = kernels.prewitt_x() / 3
            return cv2.magnitude(*(cv2.filter2D(x, -1, one, borderType=reflect) for one in (taps, taps.T.copy())))

        return {"fastconv": lambda: image.prewitt_magnitude(x, workers=workers), "OpenCV": by_prewitt}
    if case.filter == "sobel_magnitude":

        def by_sobel():
            slopes = (cv2.Sobel(x, cv2.CV_32F, *order, scale=1 / 4, borderType=reflect) for order in ((1, 0), (0, 1)))
            found = cv2.magnitude(*slopes)
            return cv2.convertScaleAbs(found) if whole else found

        return {"fastconv": lambda: image.sobel_magnitude(x, workers=workers), "OpenCV": by_sobel}
    if case.filter in ("edges", "emboss"):
        taps = kernels.named("edge" if case.filter == "edges" else "emboss")
        flipped = taps[::-1, ::-1].copy()
        function = getattr(image, case.filter)
        return {
            "fastconv": lambda: function(x, workers=workers),
            "OpenCV": lambda: cv2.filter2D(x, -1, flipped, borderType=reflect),
        }
    if case.filter in ("pyrDown", "pyrUp"):
        ours, theirs = getattr(fastconv.compat.cv2, case.filter), getattr(cv2, case.filter)
        return {"fastconv": lambda: ours(x), "OpenCV": lambda: theirs(x)}
    if case.filter == "motion_blur":
        taps = kernels.motion(case.parameter, 30)
        return {
            "fastconv": lambda: image.motion_blur(x, case.parameter, 30, workers=workers),
            "OpenCV": lambda: cv2.filter2D(x, -1, taps, borderType=reflect),
        }
    place = case.size // 3
    template = np.ascontiguousarray(x[place : place + window, place : place + window])
    if case.filter == "matchTemplate":
        ours = fastconv.compat.cv2.matchTemplate
        return {
            "fastconv": lambda: ours(x, template, cv2.TM_CCORR_NORMED),
            "OpenCV": lambda: cv2.matchTemplate(x, template, cv2.TM_CCORR_NORMED),
        }
    return {
        "fastconv": lambda: image.normalized_cross_correlation(x, template, workers=workers).scores,
        "OpenCV": lambda: cv2.matchTemplate(x, template, cv2.TM_CCOEFF_NORMED),
        "scikit-image": lambda: skimage.feature.match_template(x, template),
    }


# Pixels may differ by one grey level, and SciPy's second derivatives are not corrected.
COMPARISON = Comparison("filter", CASES, prepare, tolerance=1.3 / 128)

if __name__ == "__main__":
    COMPARISON.command(__doc__ or "")
