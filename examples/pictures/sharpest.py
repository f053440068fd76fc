"""
Which photograph is the sharpest?
=================================

A camera takes a series and keeps the sharpest picture. Measures of focus are sums over slopes or second derivatives; a
good one falls off steeply, and does not mind noise. The functions are OpenCV's, from `fastconv.compat.cv2`.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv.compat import cv2

with get_sample_data("grace_hopper.jpg") as file:
    portrait = np.asarray(Image.open(file).convert("L").crop((130, 40, 390, 240)), np.float32)
rng = np.random.default_rng(15)
sigmas = np.arange(0.4, 4.2, 0.2)
series = [
    cv2.GaussianBlur(portrait, (0, 0), sigma) + rng.normal(0, 4, portrait.shape).astype(np.float32) for sigma in sigmas
]


def slope(function, picture):
    """Return the mean square of the slope."""
    return np.mean(function(picture, cv2.CV_32F, 1, 0) ** 2 + function(picture, cv2.CV_32F, 0, 1) ** 2)


def local_variance(picture):
    """Return the mean variance in windows of 9 x 9."""
    return np.mean(cv2.boxFilter(picture**2, cv2.CV_32F, (9, 9)) - cv2.blur(picture, (9, 9)) ** 2)


measures = {
    "variance of the Laplacian": lambda picture: cv2.Laplacian(picture, cv2.CV_32F).var(),
    "the same after a blur": lambda picture: cv2.Laplacian(cv2.GaussianBlur(picture, (0, 0), 1), cv2.CV_32F).var(),
    "Sobel": lambda picture: slope(cv2.Sobel, picture),
    "Scharr": lambda picture: slope(cv2.Scharr, picture),
    "variance in windows": local_variance,
}

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
curves = {}
for label, measure in measures.items():
    curves[label] = np.array([measure(picture) for picture in series])
    ax.plot(sigmas, curves[label] / curves[label][0], ".-", label=label)
ax.set(xlabel="blur (sigma, in pixels)", ylabel="measure, of the sharpest", ylim=(0, None))
ax.legend()
plt.show()
