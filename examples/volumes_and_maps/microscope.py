"""
Beads in a volume of a microscope
=================================

A light microscope is sharper across than along its axis, so its filter is not the same along all three axes. A blur as
wide as a bead makes the most of each in the noise, and its maxima are where the beads are.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np

from fastconv import image

rng = np.random.default_rng(4)
planes, height, width = 32, 160, 200
beads = rng.uniform((4, 8, 8), (planes - 4, height - 8, width - 8), (25, 3)).round().astype(int)
volume = np.zeros((planes, height, width), np.float32)
volume[tuple(beads.T)] = 1
volume = 900 * image.gaussian_blur(volume, (3, 2, 2), axes=(0, 1, 2))  # the spread of the microscope
volume = rng.poisson(volume + 4).astype(np.float32)

blurred = image.gaussian_blur(volume, sigma=(3, 2, 2), axes=(0, 1, 2))

found = []
left = blurred.copy()
for _ in range(len(beads)):
    place = np.unravel_index(left.argmax(), left.shape)
    found.append(place)
    left[tuple(slice(max(0, at - far), at + far + 1) for at, far in zip(place, (6, 5, 5)))] = 0
found = np.array(found)
distance = np.abs(found[:, None] - beads).max(axis=2).min(axis=1)
print(f"{(distance <= 2).sum()} of {len(beads)} beads within two voxels")

fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, one, title in zip(axes, [volume, blurred], ["the brightest of all planes", "blurred, and the beads found"]):
    ax.imshow(one.max(axis=0), cmap="magma")
    ax.set_title(title)
    ax.set_axis_off()
axes[1].plot(found[:, 2], found[:, 1], "o", ms=14, mfc="none", mec="tab:cyan")
plt.show()
