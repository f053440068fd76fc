"""
A photograph through a layer
============================

The kernels of a layer sum over colours. Four kernels made by hand find four things in one step, each on the half-sized
picture, with negative values cut off: what the first layer of a network does, after it has learnt.
"""

# sphinx_gallery_thumbnail_axes = 1
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv import kernels, layers

with get_sample_data("grace_hopper.jpg") as file:
    photo = np.asarray(Image.open(file).crop((30, 0, 350, 320)), np.float32) / 255

grey, red = np.array([0.3, 0.6, 0.1]), np.array([1, -0.5, -0.5])
blob = kernels.gaussian(1, truncate=1)
weights = np.stack(
    [
        np.multiply.outer(grey, kernels.sobel_x()),  # slopes across
        np.multiply.outer(grey, kernels.sobel_y()),  # slopes down
        np.multiply.outer(grey, kernels.edge()),  # points and lines
        np.multiply.outer(red, blob),  # what is red
    ]
).astype(np.float32)

layer = layers.plan2d(weights, stride=2, padding=1, padding_mode="reflect", activation="relu")
features = layer(np.ascontiguousarray(photo.transpose(2, 0, 1)))
print(photo.shape, "to", features.shape)

fig, axes = plt.subplots(1, 5, figsize=(11, 2.5), layout="constrained")
titles = ["picture", "darker to the right", "darker below", "points and lines", "red"]
for ax, picture, title in zip(axes, [photo, *features], titles):
    ax.imshow(picture, cmap="gray", vmax=np.percentile(picture, 99))
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
plt.show()
