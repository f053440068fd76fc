"""
Patterns that grow: reaction and diffusion
==========================================

Two substances spread, and one is made of the other (Gray and Scott, 1984). Spreading is a convolution with a Laplacian;
the plane has no edge, so its boundary is ``wrap``. A plan and its `out` make a step of the simulation allocate little.
"""

# sphinx_gallery_thumbnail_axes = 3
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import fastconv

size = 160
laplacian = np.array([[0.05, 0.2, 0.05], [0.2, -1, 0.2], [0.05, 0.2, 0.05]], np.float32)
spread = fastconv.plan(laplacian, (2, size, size), mode="same", boundary="wrap")

rng = np.random.default_rng(8)
u, v = both = np.stack([np.ones((size, size), np.float32), np.zeros((size, size), np.float32)])
for row, column in rng.integers(10, size - 10, (12, 2)):
    v[row - 4 : row + 4, column - 4 : column + 4] = 0.5

fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
change = np.empty_like(both)
for ax, (before, until) in zip(axes, pairwise((0, 100, 1000, 2500, 5000))):
    for _ in range(before, until):
        spread(both, out=change)
        reaction = u * v * v
        u += change[0] - reaction + 0.037 * (1 - u)
        v += 0.5 * change[1] + reaction - (0.037 + 0.06) * v
    ax.imshow(v, cmap="inferno")
    ax.set_title(f"after {until} steps")
    ax.set_axis_off()
plt.show()
