"""
Edges of a photograph
=====================

The slopes of a picture across and down, by Sobel's two kernels, and their length and direction.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from matplotlib.colors import hsv_to_rgb
from PIL import Image

from fastconv import image

with get_sample_data("grace_hopper.jpg") as file:
    portrait = Image.open(file).convert("L").crop((60, 0, 460, 400))

magnitude = image.sobel_magnitude(portrait)
direction = image.sobel_direction(portrait)

# %%
# The direction as a hue, and the length as its brightness:

hue = direction % np.pi / np.pi
strength = np.clip(np.asarray(magnitude) / 90, 0, 1)
coloured = hsv_to_rgb(np.stack([hue, np.ones_like(hue), strength], axis=-1))

fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, picture, title in zip(axes, [portrait, magnitude, coloured], ["picture", "length", "direction"]):
    ax.imshow(picture, cmap="gray")
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
