"""
Count cells
===========

The Laplacian of a Gaussian is most negative in the middle of a bright disk whose radius is 1.4 times `sigma`: cells
that touch each other have a minimum each.
"""

# sphinx_gallery_thumbnail_axes = 0
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import minimum_filter

from fastconv import image

rng = np.random.default_rng(2)
y, x = np.mgrid[:240, :320]
cells = [(12.0, 12.0)]
while len(cells) < 60:  # cells may touch, but not lie on each other
    one = rng.uniform((10, 10), (230, 310))
    if min(np.hypot(*(one - other)) for other in cells) > 17:
        cells.append(tuple(one))
picture = np.zeros(y.shape, np.float32)
for row, column in cells:
    picture = np.maximum(picture, np.hypot(y - row, x - column) < rng.uniform(7, 9))
picture = image.gaussian_blur(picture, 1.5) + rng.normal(0, 0.25, y.shape).astype(np.float32)

answer = image.laplacian_of_gaussian(picture, sigma=8 / np.sqrt(2))
found = np.argwhere((answer == minimum_filter(answer, 11)) & (answer < 0.4 * answer.min()))
print(f"{len(found)} cells, of {len(cells)}")

fig, axes = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
for ax, shown, title in zip(axes, [picture, answer], [f"{len(found)} cells", "Laplacian of a Gaussian"]):
    ax.imshow(shown, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
axes[0].plot(found[:, 1], found[:, 0], "+", color="tab:orange", ms=9, mew=2)
plt.show()
