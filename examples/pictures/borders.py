"""
Borders side by side
====================

A wide blur of a picture under each boundary. Each frame shows what the kernel finds outside of the picture, and the
result inside.
"""

# sphinx_gallery_thumbnail_axes = 5
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

import fastconv
from fastconv import kernels

with get_sample_data("grace_hopper.jpg") as file:
    picture = np.asarray(Image.open(file).convert("L").resize((128, 150)), np.float32)

blur = kernels.gaussian(8)
pads = {
    "zero": "constant",
    "fill": "constant",
    "nearest": "edge",
    "reflect": "symmetric",
    "mirror": "reflect",
    "wrap": "wrap",
}

fig, axes = plt.subplots(2, 3, figsize=(9, 6.6), layout="constrained")
for ax, (boundary, numpy_name) in zip(axes.flat, pads.items()):
    fill = {"fill_value": 255} if boundary == "fill" else {}
    frame = np.pad(picture, 40, numpy_name, **({"constant_values": 255} if fill else {}))
    frame[40:-40, 40:-40] = fastconv.convolve2d(picture, blur, "same", boundary=boundary, **fill)
    ax.imshow(frame, cmap="gray", vmin=0, vmax=255)
    ax.add_patch(plt.Rectangle((40, 40), 128, 150, fill=False, edgecolor="tab:red"))
    ax.set_title(f"{boundary}: {frame[40:-40, 40].mean():.0f}")
    ax.set_axis_off()
plt.show()

# %%
# The numbers are the mean grey of the left column; in the picture itself it is:

print(f"{picture[:, 0].mean():.0f}")
