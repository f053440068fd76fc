"""
Where is this?
==============

Normalized cross-correlation finds a piece of a picture in another one, even if that is darker and has less contrast: a
score of 1 means that the two differ by nothing else.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv import image

with get_sample_data("grace_hopper.jpg") as file:
    portrait = np.asarray(Image.open(file).convert("L"), np.float32)
badge = portrait[60:130, 220:310]

dark = 0.4 * portrait + 20 + np.random.default_rng(3).normal(0, 8, portrait.shape).astype(np.float32)
match = image.normalized_cross_correlation(dark, badge)
row, column = match.peak
print(f"at row {row}, column {column}, with a score of {match.score:.2f}")

fig, axes = plt.subplots(1, 3, figsize=(9, 3.6), width_ratios=[1, 2, 2], layout="constrained")
for ax, picture, title in zip(axes, [badge, dark, match.scores], ["template", "found", "scores"]):
    ax.imshow(picture, cmap="gray", vmin=0 if picture is not match.scores else None)
    ax.set_title(title)
    ax.set_axis_off()
height, width = badge.shape
axes[1].add_patch(plt.Rectangle((column, row), width, height, fill=False, edgecolor="tab:orange", lw=2))
axes[2].plot(column, row, "o", mfc="none", mec="tab:orange", ms=12)
plt.show()
