"""
Half an apple, half an orange
=============================

Burt and Adelson (1983) join two pictures so that no seam is seen: each band of sizes gets a border as wide as its
details. `fastconv.compat.cv2` has OpenCV's functions for pyramids, under their names.
"""

# sphinx_gallery_thumbnail_axes = 3
import matplotlib.pyplot as plt
import numpy as np

from fastconv.compat import cv2

rng = np.random.default_rng(14)
y, x = np.mgrid[-1:1:256j, -1:1:256j].astype(np.float32)
inside = np.clip((0.72 - np.hypot(x, y)) * 40, 0, 1)[..., None]
shade = (0.45 + 0.55 * np.clip(0.9 - np.hypot(x + 0.3, y + 0.3) / 1.3, 0, 1))[..., None]
streaks = cv2.GaussianBlur(rng.normal(size=(256, 256)).astype(np.float32), (0, 0), 1.5, sigmaY=12)
dimples = cv2.GaussianBlur(rng.normal(size=(256, 256)).astype(np.float32), (0, 0), 2)
apple = np.array([0.75, 0.1, 0.1], np.float32) + streaks[..., None] * np.array([1.2, 2.0, 0.3], np.float32)
orange = np.array([0.95, 0.5, 0.05], np.float32) * (1 + 0.8 * dimples[..., None])
apple, orange = (fruit * shade * inside + 0.95 * (1 - inside) for fruit in (apple, orange))


def bands(picture, levels=4):
    """Return what each level of the pyramid adds, and the smallest picture."""
    found = []
    for _ in range(levels):
        smaller = cv2.pyrDown(picture)
        found.append(picture - cv2.pyrUp(smaller))
        picture = smaller
    return [*found, picture]


left = np.where(x < 0, 1, 0)[..., None] * np.ones(3, np.float32)
shares = [left := left if level == 0 else cv2.pyrDown(left.astype(np.float32)) for level in range(5)]
mixed = [share * a + (1 - share) * b for share, a, b in zip(shares, bands(apple), bands(orange))]
blended = mixed[-1]
for band in mixed[-2::-1]:
    blended = cv2.pyrUp(blended.astype(np.float32)) + band

fig, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
cut = np.where(x[..., None] < 0, apple, orange)
for ax, picture, title in zip(axes, [apple, orange, cut, blended], ["apple", "orange", "cut", "blended"]):
    ax.imshow(np.clip(picture, 0, 1))
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
