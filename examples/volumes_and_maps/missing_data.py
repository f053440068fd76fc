"""
A map with missing data
=======================

Heights from a satellite have holes: clouds, water, shadows. An ordinary blur spreads each hole as far as the kernel
reaches. With ``nan="ignore"`` each result is the weighted mean of what is known, and small holes close.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data

from fastconv import image

with get_sample_data("jacksboro_fault_dem.npz") as file:
    heights = file["elevation"].astype(np.float32)

rng = np.random.default_rng(2)
clouds = image.gaussian_blur(rng.normal(size=heights.shape).astype(np.float32), 6) > 0.045
seen = np.where(clouds | (rng.random(heights.shape) < 2e-4), np.nan, heights)

ordinary = image.gaussian_blur(seen, 3)
ignored = image.gaussian_blur(seen, 3, nan="ignore")
expected = image.gaussian_blur(heights, 3)

fig, axes = plt.subplots(2, 2, figsize=(8, 7), layout="constrained")
titles = ["seen", "blurred", 'blurred, nan="ignore"', "blurred, of all heights"]
for ax, picture, title in zip(axes.flat, [seen, ordinary, ignored, expected], titles):
    drawn = ax.imshow(picture, cmap="terrain", vmin=heights.min(), vmax=heights.max())
    ax.set_facecolor("tab:red")
    ax.set(title=f"{title}: {np.isnan(picture).mean():.0%} missing", xticks=[], yticks=[])
fig.colorbar(drawn, ax=axes, label="metres", shrink=0.6)
plt.show()

# %%
# How far the results are from those of all heights, in metres:

print(f"{np.nanmean(np.abs(ignored - expected)):.1f}")
