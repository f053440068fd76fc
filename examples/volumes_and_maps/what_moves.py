"""
What moves to the right?
========================

A film is a volume of time, rows and columns, in which things that move are slanted lines. A kernel that is slanted as
well finds those that move at its speed, and no others.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

import fastconv

rng = np.random.default_rng(9)
frames, height, width = 24, 90, 120
points = np.zeros((frames, height, width), np.float32)
right, left = rng.integers((0, 0), (height, width), (2, 10, 2))
for t in range(frames):
    points[t, right[:, 0], (right[:, 1] + 2 * t) % width] = 1  # two columns a frame
    points[t, left[:, 0], (left[:, 1] - 2 * t) % width] = 1

spot = np.multiply.outer([0.25, 0.7, 1, 0.7, 0.25], [0.25, 0.7, 1, 0.7, 0.25]).astype(np.float32)[None]
film = fastconv.convolve3d(points, spot, "same") + rng.normal(0, 0.7, points.shape).astype(np.float32)

slanted = np.zeros((11, 1, 21), np.float32)
slanted[range(11), 0, range(0, 21, 2)] = 1 / (11 * np.sum(spot**2))
slanted = fastconv.convolve3d(slanted, spot)
strength = fastconv.correlate3d(film, slanted, "same", boundary=("zero", "zero", "wrap"))

middle = frames // 2
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, picture, title in zip(axes, [film[middle], strength[middle]], ["a frame", "what moves to the right"]):
    ax.imshow(picture, cmap="magma", vmin=0)
    ax.set_title(title)
    ax.set_axis_off()
columns = (right[:, 1] + 2 * middle) % width
axes[1].plot(columns, right[:, 0], "o", mfc="none", mec="tab:cyan", ms=12)
plt.show()
