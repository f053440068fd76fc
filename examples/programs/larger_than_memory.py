"""
A picture that is larger than memory
====================================

A mosaic of 144 megapixels stands for one that no memory holds. It is made tile by tile, and `fastconv.dask` blurs it so
that only a few tiles are in memory at a time, and no seams are between them; a preview of every 40th pixel is kept.
"""

# sphinx_gallery_thumbnail_axes = 1
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np

import fastconv.dask
from fastconv import kernels

size, tile = 12_000, 1_500


def mosaic(block_info):
    """Draw one tile: rings around the centre of the whole, and noise."""
    (top, bottom), (left, right) = block_info[None]["array-location"]
    y, x = np.ogrid[top:bottom, left:right]
    rings = np.cos(((x - size / 2) ** 2 + (y - size / 2) ** 2).astype(np.float32) * 5e-7)
    return rings + np.random.default_rng((top, left)).normal(0, 2, rings.shape).astype(np.float32)


chunks = ((tile,) * (size // tile),) * 2
picture = da.map_blocks(mosaic, chunks=chunks, dtype=np.float32)
blurred = fastconv.dask.convolve2d(picture, kernels.gaussian(15), "same", boundary="reflect")
print(blurred)

before, after = da.compute(picture[::40, ::40], blurred[::40, ::40])

fig, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for ax, preview, title in zip(axes, [before, after], ["every 40th pixel", "of the blurred picture"]):
    ax.imshow(preview, cmap="gray", vmin=-2, vmax=2)
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
