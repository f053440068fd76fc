"""
Lights at night: out of focus, and in motion
============================================

A lens out of focus draws each lamp as a disk, and a moving camera as a line. Both are sums of light, so they need
linear values: from pixels as they are stored, the disks would be dull.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from fastconv import image, kernels

rng = np.random.default_rng(4)
night = np.zeros((180, 300, 3), np.float32)
night[..., 2] = np.linspace(0.002, 0.02, 180)[:, None]  # a sky above, in linear light
for row, column in rng.integers((60, 0), (180, 300), (70, 2)):
    night[row, column] += rng.uniform(5, 60) * np.array([1, rng.uniform(0.3, 0.9), rng.uniform(0.05, 0.5)])


def seen(light):
    """Return pixels, with the curve of sRGB, as a camera stores them."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


pictures = {
    "in focus": image.filter(night, kernels.disk(1)),
    "out of focus": image.filter(night, kernels.disk(8)),
    "in motion": image.motion_blur(image.filter(night, kernels.disk(1)), length=40, angle=20),
}

fig, axes = plt.subplots(1, 3, figsize=(11, 2.5), layout="constrained")
for ax, (title, light) in zip(axes, pictures.items()):
    ax.imshow(seen(light))
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
