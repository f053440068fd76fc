"""
The directions of a texture, by a Gabor bank
============================================

Each kernel of the bank answers to waves of one direction. `fastconv.convolve_bank` convolves the picture with all of
them in one pass; the kernel with the strongest answer tells the direction at each pixel.
"""

# sphinx_gallery_thumbnail_axes = 2
import matplotlib.pyplot as plt
import numpy as np

import fastconv
from fastconv import kernels

# A texture like that of a fingerprint: ridges around two centres, with noise.
y, x = np.mgrid[:300, :300]
phase = np.hypot(x - 150, y - 320) + 40 * np.arctan2(y - 120, x - 150)
rng = np.random.default_rng(1)
texture = (np.cos(2 * np.pi * phase / 10) + rng.normal(0, 0.7, phase.shape)).astype(np.float32)

angles = np.arange(0, 180, 15)
bank = np.stack([kernels.gabor(10, angle, aspect=1) for angle in angles])
answers = fastconv.convolve_bank(texture, bank, boundary="reflect")
energy = np.stack([fastconv.convolve2d(one**2, kernels.gaussian(6), "same", boundary="reflect") for one in answers])
direction = angles[energy.argmax(axis=0)]

# %%

fig, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
axes[0].imshow(texture, cmap="gray")
axes[0].set_title("texture")
axes[1].imshow(np.concatenate([np.concatenate(list(bank[i : i + 4]), axis=1) for i in (0, 4, 8)]), cmap="RdBu")
axes[1].set_title(f"bank of {len(bank)}")
drawn = axes[2].imshow(direction, cmap="twilight", vmin=0, vmax=180)
axes[2].set_title("direction of the waves")
fig.colorbar(drawn, ax=axes[2], label="degrees", ticks=[0, 45, 90, 135, 180])
for ax in axes:
    ax.set_axis_off()
plt.show()
