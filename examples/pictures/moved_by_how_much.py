"""
How far has the camera moved?
=============================

Two frames of a film, and the second is moved. The correlation of both, with their means taken off, is largest where
they agree.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

import fastconv

with get_sample_data("grace_hopper.jpg") as file:
    scene = np.asarray(Image.open(file).convert("L"), np.float32)
first, second = scene[80:380, 100:400], scene[97:397, 88:388]
first, second = first - first.mean(), second - second.mean()

agreement = fastconv.correlate2d(first, second, "same")
row, column = np.unravel_index(agreement.argmax(), agreement.shape)
moved = row - 150, column - 150
print("down and to the right, in pixels:", *moved)

fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for ax, picture, title in zip(axes, [first, second, agreement], ["first frame", "second frame", "agreement"]):
    ax.imshow(picture, cmap="magma" if picture is agreement else "gray")
    ax.set_title(title)
    ax.set_axis_off()
axes[2].set(xlim=(90, 210), ylim=(210, 90))
axes[2].annotate("", (column, row), (150, 150), arrowprops={"arrowstyle": "->", "color": "white", "lw": 2})
plt.show()
