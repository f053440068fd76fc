"""
A film in chunks
================

The film of a camera that watches a room, in place of one that no memory holds: noise, and something that moves. All
filters of `fastconv.dask` take and return dask arrays; nothing is computed before `compute`.
"""

# sphinx_gallery_thumbnail_axes = 3
import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np

import fastconv.dask
from fastconv import kernels

frames, height, width = 60, 120, 160
y, x = np.mgrid[:height, :width]
room = (100 + 60 * ((x // 40 + y // 40) % 2)).astype(np.float32)


def filmed(block_info):
    """Return a chunk of the film: the room, a spot that moves to the right, and noise."""
    (first, last), *_ = block_info[None]["array-location"]
    t = np.arange(first, last, dtype=np.float32)[:, None, None]
    spot = 60 * np.exp(-((y - 75) ** 2 + (x - 20 - 2 * t) ** 2) / 18)
    noise = np.random.default_rng(first).normal(0, 12, (last - first, height, width))
    return (room + spot + noise).astype(np.float32)


film = da.map_blocks(filmed, chunks=((20,) * 3, (height,), (width,)), dtype=np.float32)

along_time = {"mode": "same", "axes": 0, "boundary": "nearest"}
background = fastconv.dask.convolve(film, np.ones(41, np.float32) / 41, **along_time)
change = fastconv.dask.correlate(film, np.array([-0.5, 0, 0.5], np.float32), **along_time)
moving = film - background
calm = fastconv.dask.convolve3d(moving, np.full((5, 5, 5), 0.008, np.float32), "same")
slanted = np.zeros((9, 5, 21), np.float32)
slanted[range(9), :, range(2, 19, 2)] = 1 / 45
tracked = fastconv.dask.correlate3d(moving, slanted, "same")
soft = fastconv.dask.gaussian_blur(film, 2)
sharp = fastconv.dask.filter(soft, kernels.sharpen())
corners = fastconv.dask.correlate2d(soft, np.float32([[1, -1], [-1, 1]]).repeat(4, 0).repeat(4, 1), "same")

panels = {"a frame": film, "blurred": soft, "sharpened again": sharp, "moves to the right": tracked}
panels |= {"without the background": calm, "background": background, "change": change, "corners": corners}
shown = dask.compute(*(one[30] for one in panels.values()))

fig, axes = plt.subplots(2, 4, figsize=(11, 4.6), layout="constrained")
for ax, title, picture in zip(axes.flat, panels, shown):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
