"""
Blur and sharpen in linear light
================================

Pixels are stored with the gamma curve of sRGB. Averages of light, such as blurs, are right only of linear values: with
the curve, bright spots fade, and sharpening draws dark halos wider than light ones. ``linear=True`` undoes it.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv import image

with get_sample_data("grace_hopper.jpg") as file:
    portrait = Image.open(file).crop((150, 40, 390, 240))

results = {
    "picture": portrait,
    "blurred, of stored values": image.gaussian_blur(portrait, 4),
    "blurred, in linear light": image.gaussian_blur(portrait, 4, linear=True),
    "sharpened, in linear light": image.unsharp_mask(portrait, sigma=2, amount=1.5, linear=True),
}

fig, axes = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained")
for ax, (title, picture) in zip(axes, results.items()):
    ax.imshow(picture)
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
plt.show()

# %%
# Black and white lines look grey from afar: half of the light, which is stored as 188, and not as 128.

lines = np.tile(np.uint8([0, 255]), (8, 20))
stored, light = (image.gaussian_blur(lines, 3, linear=linear)[4, 20] for linear in (False, True))
print(stored, light)
