"""
A program that is not changed
=============================

A library calls SciPy, and cannot be changed. `fastconv.compat.patch` replaces SciPy's functions while a block runs,
and counts which calls fastconv has computed, and which it has left to SciPy.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image
from scipy import ndimage, signal

from fastconv.compat import patch


def somebody_elses_filter(picture):
    """Find corners (Harris and Stephens, 1988)."""
    down, across = ndimage.sobel(picture, 0), ndimage.sobel(picture, 1)
    a, b, c = (ndimage.gaussian_filter(one, 2) for one in (down * down, down * across, across * across))
    strength = a * c - b * b - 0.05 * (a + c) ** 2
    return signal.convolve2d(strength, np.ones((3, 3)) / 9, mode="same")


with get_sample_data("grace_hopper.jpg") as file:
    picture = np.asarray(Image.open(file).convert("L").crop((30, 0, 350, 260)), np.float64)

expected = somebody_elses_filter(picture)
with patch("scipy.ndimage", "scipy.signal") as patched:
    found = somebody_elses_filter(picture)

for name, calls in patched.calls.items():
    print(f"{name}: {calls.fastconv} by fastconv, {calls.original} by SciPy")
print(f"largest relative difference: {np.abs(found - expected).max() / np.abs(expected).max():.0e}")

corners = np.argwhere((found == ndimage.maximum_filter(found, 15)) & (found > 0.02 * found.max()))
fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ax.imshow(picture, cmap="gray")
ax.plot(corners[:, 1], corners[:, 0], "s", mfc="none", mec="tab:orange", ms=7)
ax.set_axis_off()
plt.show()
