"""
Blur and sharpen in linear light
================================

Pixels are stored with a gamma curve. Averages of light, such as blurs, are right only of linear values: with the curve,
fine patterns darken, and sharpening draws dark halos wider than light ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

from fastconv import image

with get_sample_data("grace_hopper.jpg") as file:
    stored = np.asarray(Image.open(file).crop((150, 40, 390, 240)), np.float32) / 255


def linear(pixels):
    """Undo the curve of sRGB."""
    return np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)


def curved(light):
    """Apply the curve of sRGB."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


light = linear(stored)
results = {
    "stored": stored,
    "blurred, of stored values": image.gaussian_blur(stored, 4),
    "blurred, in linear light": curved(image.gaussian_blur(light, 4)),
    "sharpened, in linear light": curved(image.unsharp_mask(light, sigma=2, amount=1.5)),
}

fig, axes = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained")
for ax, (title, picture) in zip(axes, results.items()):
    ax.imshow(picture)
    ax.set_title(title, fontsize=10)
    ax.set_axis_off()
plt.show()

# %%
# Black and white lines look grey from afar, as bright as half the light, which is stored as 188 and not as 128:

lines = np.tile(np.float32([0, 1]), (8, 20))
print(round(255 * float(image.gaussian_blur(lines, 3)[4, 20])))
print(round(255 * float(curved(image.gaussian_blur(linear(lines), 3))[4, 20])))
