"""
Which edge filter?
==================

All of these find edges, but not the same: Scharr's kernels measure slopes of all directions almost the same, `emboss`
shows relief, and a Gaussian before the slope keeps noise out.
"""

# sphinx_gallery_thumbnail_axes = 5
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image

import fastconv
from fastconv import image, kernels

with get_sample_data("grace_hopper.jpg") as file:
    portrait = np.asarray(Image.open(file).convert("L").crop((130, 40, 350, 240)), np.float32)
noisy = portrait + np.random.default_rng(1).normal(0, 20, portrait.shape).astype(np.float32)

results = {
    "edges": np.abs(image.edges(noisy)),
    "emboss": image.emboss(noisy),
    "Prewitt": image.prewitt_magnitude(noisy),
    "Sobel": image.sobel_magnitude(noisy),
    "Scharr": image.scharr_magnitude(noisy),
    "Gaussian gradient": image.gaussian_gradient_magnitude(noisy, sigma=2),
}

fig, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for ax, (title, found) in zip(axes.flat, results.items()):
    ax.imshow(found, cmap="gray", vmin=min(0, np.percentile(found, 1)), vmax=np.percentile(found, 99.5))
    ax.set_title(title)
    ax.set_axis_off()
plt.show()

# %%
# How steep they find a wave of eight pixels, by its direction. A perfect filter would draw a horizontal line.

angles = np.deg2rad(np.arange(0, 91, 3))
y, x = np.mgrid[:66, :66]
waves = np.stack([np.sin(2 * np.pi / 8 * (x * np.cos(angle) + y * np.sin(angle))) for angle in angles])
pairs = {
    "Prewitt": (kernels.prewitt_x(), kernels.prewitt_y()),
    "Sobel": (kernels.sobel_x(), kernels.sobel_y()),
    "Scharr": (kernels.scharr_x(), kernels.scharr_y()),
}

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
lengths = {}
for name, (across, down) in pairs.items():
    slopes = [fastconv.convolve2d(waves, kernel / np.abs(kernel).sum(), "valid") for kernel in (across, down)]
    length = np.sqrt((slopes[0] ** 2 + slopes[1] ** 2).mean(axis=(1, 2)))
    lengths[name] = length / length[0]
    ax.plot(np.rad2deg(angles), lengths[name], label=name)
ax.set(xlabel="direction in degrees", ylabel="length, relative")
ax.legend()
plt.show()
