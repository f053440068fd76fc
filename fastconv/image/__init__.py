"""Filters for Pillow pictures and for arrays of pixels, integers or floats.

`filter` convolves a picture with any kernel; the other functions are common filters built on it. They share keywords:
how the picture continues outside, along which axes of an array to filter, what to do about alpha, linear light, the
type of the result, threads.

>>> import numpy as np
>>> from fastconv import image
>>> frame = np.array([[0, 0, 0], [0, 90, 0], [0, 0, 0]], np.uint8)
>>> image.gaussian_blur(frame, 0.5, boundary="zero")[1]
array([ 8, 56,  8], dtype=uint8)
"""

from __future__ import annotations

from fastconv._runtime.lazy_modules import directory
from fastconv.image._blurs import gaussian_blur, motion_blur
from fastconv.image._curvatures import difference_of_gaussians, edges, laplacian_of_gaussian
from fastconv.image._filter import filter
from fastconv.image._gradients import (
    gaussian_gradient_magnitude,
    prewitt_magnitude,
    scharr_magnitude,
    sobel_direction,
    sobel_magnitude,
)
from fastconv.image._matching import Match, normalized_cross_correlation
from fastconv.image._sharpening import emboss, unsharp_mask
from fastconv.image._windows import box_blur, local_mean, local_std

__all__ = [
    "Match",
    "box_blur",
    "difference_of_gaussians",
    "edges",
    "emboss",
    "filter",
    "gaussian_blur",
    "gaussian_gradient_magnitude",
    "laplacian_of_gaussian",
    "local_mean",
    "local_std",
    "motion_blur",
    "normalized_cross_correlation",
    "prewitt_magnitude",
    "scharr_magnitude",
    "sobel_direction",
    "sobel_magnitude",
    "unsharp_mask",
]
__dir__ = directory(__name__)
