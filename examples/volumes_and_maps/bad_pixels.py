"""
Bad pixels of a telescope's camera
==================================

Pixels that are dead or hit by cosmic rays are NaN. `fastconv.compat.astropy` has the functions of
`astropy.convolution`: the pixels are filled from those around them, or left out of a mean.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from fastconv import kernels
from fastconv.compat import astropy

rng = np.random.default_rng(13)
y, x = np.mgrid[:150, :200]
galaxy = 40 * np.exp(-np.hypot((x - 110) / 22, (y - 70) / 12 + (x - 110) / 60))
stars = np.zeros(galaxy.shape)
stars[rng.integers(150, size=40), rng.integers(200, size=40)] = rng.uniform(50, 400, 40)
spread = kernels.gaussian(1.5, dtype="float64")
sky = rng.poisson(galaxy + astropy.convolve_fft(stars, spread) + 3).astype(float)

seen = sky.copy()
seen[rng.random(sky.shape) < 0.04] = np.nan
seen[:, 60] = np.nan  # a dead column

filled = astropy.interpolate_replace_nans(seen, spread)
smoothed = astropy.convolve(seen, kernels.gaussian(3, dtype="float64"), boundary="extend")

fig, axes = plt.subplots(1, 3, figsize=(11, 3.1), layout="constrained")
for ax, picture, title in zip(axes, [seen, filled, smoothed], ["seen", "filled", "smoothed"]):
    ax.imshow(np.sqrt(picture), cmap="magma", vmin=0, vmax=8)
    ax.set_facecolor("tab:cyan")
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
