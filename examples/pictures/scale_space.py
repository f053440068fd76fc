"""
Spots of every size
===================

The difference of two Gaussian blurs answers to spots as wide as the blurs. Over several widths, the strongest answer
tells where a spot is, and how large.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np

from fastconv import image

rng = np.random.default_rng(5)
y, x = np.mgrid[:240, :360]
picture = rng.normal(0, 0.15, y.shape).astype(np.float32)
for row, column, radius in [(60, 60, 5), (70, 150, 9), (120, 260, 16), (180, 90, 24), (50, 310, 3), (190, 190, 7)]:
    picture += np.hypot(y - row, x - column) < radius

sigmas = 2 * 1.25 ** np.arange(11)
answers = np.stack([image.difference_of_gaussians(picture, sigma) for sigma in sigmas])

fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
ax.imshow(picture, cmap="gray")
left = answers.copy()
for _ in range(6):
    scale, row, column = np.unravel_index(left.argmax(), left.shape)
    radius = sigmas[scale] * np.sqrt(2) * np.sqrt(1.6)
    ax.add_patch(plt.Circle((column, row), radius, fill=False, edgecolor="tab:orange", lw=2))
    left[:, np.hypot(y - row, x - column) < 1.5 * radius + 4] = -np.inf
ax.set_axis_off()
plt.show()
