"""
Enlarge signals, pictures and volumes
=====================================

A transposed layer lays a copy of its kernel down for each sample, `stride` apart, and adds them up. With a triangle as
the kernel it joins samples by lines: linear interpolation along one, two or three axes.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from fastconv import layers

factor = 8
triangle = 1 - np.abs(np.arange(1 - factor, factor)) / factor
square = np.multiply.outer(triangle, triangle)
cube = np.multiply.outer(square, triangle)

samples = np.array([0, 2, 1, 3, 2.5, 0, 1])
t = np.arange(len(samples))
line = layers.conv_transpose1d(samples[None], triangle[None, None], stride=factor, padding=factor - 1)[0]

y, x, z = np.mgrid[-1:1:9j, -1:1:9j, -1:1:9j]
volume = np.exp(-3 * (x**2 + y**2 + z**2)) + 0.5 * np.exp(-20 * ((x - 0.5) ** 2 + (y + 0.5) ** 2 + z**2))
picture = volume[:, :, 4]
surface = layers.conv_transpose2d(picture[None], square[None, None], stride=factor, padding=factor - 1)[0]
solid = layers.conv_transpose3d(volume[None], cube[None, None], stride=factor, padding=factor - 1)[0]

fig, axes = plt.subplots(1, 4, figsize=(11, 2.8), layout="constrained")
axes[0].plot(np.arange(len(line)) / factor, line, ".-", ms=3, label="enlarged")
axes[0].plot(t, samples, "o", color="tab:red", label="samples")
axes[0].legend(fontsize=8)
shown = {"a picture": picture, "enlarged": surface, "a plane of a volume between samples": solid[:, :, 4 * factor + 4]}
for ax, (title, one) in zip(axes[1:], shown.items()):
    ax.imshow(one, cmap="viridis")
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
plt.show()
